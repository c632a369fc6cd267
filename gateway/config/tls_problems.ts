/** What is wrong with the settings of TLS, the files among it. */
import { CertificateError, readCertificates } from '../tls/certificates.js';
import type { Merged } from './sources.js';
import type { CertificateFiles } from './tls_types.js';
import type { Config } from './types.js';

/** A certificate without its key, or files that cannot be used. */
export function tlsProblems({ tls, upstreams }: Config, { placeOf }: Merged): string[] {
  const own = tls === undefined ? [] : problemsOf(tls, (key) => placeOf(['tls', key]));
  const others = upstreams.flatMap(({ tls: files }, index) =>
    files === undefined ? [] : problemsOf(files, (key) => placeOf(['upstreams', index, 'tls', key])),
  );
  return [...own, ...others];
}

function problemsOf(files: CertificateFiles, place: (key: string) => string): string[] {
  const { certFile, keyFile } = files;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    const [there, missing] = keyFile === undefined ? ['certFile', 'keyFile'] : ['keyFile', 'certFile'];
    return [`${place(there)}: expected ${missing} beside it`];
  }
  try {
    readCertificates(files);
    return [];
  } catch (thrown) {
    if (!(thrown instanceof CertificateError)) throw thrown;
    return [`${place(certFile === undefined ? 'caFile' : 'certFile')}: ${thrown.message}`];
  }
}
