/** All certificates of a gateway: its own, and those towards its services. */
import type { Logger } from 'pino';
import type { UpstreamTls } from '../../src/upstream/credentials.js';
import type { CertificateFiles, UpstreamTlsConfig } from '../config/tls_types.js';
import type { Config } from '../config.js';
import { type Certificates, expiryOf, watchCertificates } from './certificates.js';

export interface Tls {
  /** The gateway's own; undefined: it speaks plaintext. */
  readonly own: Certificates | undefined;
  /** For the connections to an upstream; undefined: plaintext. */
  readonly towards: (upstream: { readonly tls?: UpstreamTlsConfig | undefined }) => UpstreamTls | undefined;
  /** Looks at all files now. */
  look(): void;
  close(): void;
}

/** Throws CertificateError when files cannot be used. */
export function createTls({ tls }: Pick<Config, 'tls'>, log: Logger): Tls {
  const all: Certificates[] = [];
  const watch = (files: CertificateFiles): Certificates => {
    const certificates = watchCertificates(files, {
      changed: ({ certFile, caFile }) =>
        log.info({ file: certFile ?? caFile }, 'the certificates were renewed'),
      failed: (problem) =>
        log.error({ problem }, 'new certificates cannot be used; the old ones stay in force'),
    });
    all.push(certificates);
    const expiry = expiryOf(certificates.current());
    if (expiry) log.warn({ file: files.certFile, ...expiry }, 'the certificate expires soon, or has expired');
    return certificates;
  };
  const made = new Map<UpstreamTlsConfig, UpstreamTls>();
  return {
    own: tls === undefined ? undefined : watch(tls),
    towards({ tls: files }) {
      if (files === undefined) return undefined;
      const known = made.get(files);
      if (known) return known;
      const { current, onChange } = watch(files);
      const towards = { current, onChange, serverName: files.serverName };
      made.set(files, towards);
      return towards;
    },
    look() {
      for (const certificates of all) certificates.look();
    },
    close() {
      for (const certificates of all) certificates.close();
    },
  };
}
