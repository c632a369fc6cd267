/** Certificates in PEM files: read, checked, and looked at again, since they are renewed while the gateway runs. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { UpstreamCertificates } from '../../src/upstream/credentials.js';
import { reasonOf } from '../config/sources.js';
import type { CertificateFiles } from '../config/tls_types.js';

/** What stands in the files. */
export type Pems = UpstreamCertificates;

/** What is wrong with certificates. Names the file, and never shows a key. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
}

/** A certificate that is told of before it expires, in ms. */
const SOON_MS = 14 * 24 * 3_600_000;

/** Reads the files. Throws CertificateError for one that cannot be read, is no PEM, or a key of another certificate. */
export function readCertificates({ caFile, certFile, keyFile }: CertificateFiles): Pems {
  const [ca, cert, key] = [caFile, certFile, keyFile].map((file) => file && read(file)) as (
    | Buffer
    | undefined
  )[];
  if (ca) certificateOf(ca, caFile as string);
  if (cert && key) checkPair({ cert, key, certFile: certFile as string, keyFile: keyFile as string });
  try {
    createSecureContext({ ca, cert, key });
  } catch (thrown) {
    throw new CertificateError(`${certFile ?? caFile}: ${reasonOf(thrown)}`);
  }
  return { ca, cert, key };
}

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (thrown) {
    throw new CertificateError(`cannot read ${file}: ${(thrown as NodeJS.ErrnoException).code ?? 'error'}`);
  }
}

/** The first one of a file. */
function certificateOf(pem: Buffer, file: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new CertificateError(`${file}: expected a certificate in PEM form (-----BEGIN CERTIFICATE-----)`);
  }
}

interface Pair {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly certFile: string;
  readonly keyFile: string;
}

function checkPair({ cert, key, certFile, keyFile }: Pair): void {
  const certificate = certificateOf(cert, certFile);
  let known: ReturnType<typeof createPrivateKey>;
  try {
    known = createPrivateKey(key);
  } catch {
    throw new CertificateError(`${keyFile}: expected a private key in PEM form, without a passphrase`);
  }
  if (!certificate.checkPrivateKey(known))
    throw new CertificateError(`${keyFile}: this is not the key of the certificate in ${certFile}`);
}

/** What will be wrong with the gateway's own certificate before long; undefined if nothing. */
export function expiryOf(
  { cert }: Pems,
  now = Date.now(),
): { readonly expires: string; readonly expired: boolean } | undefined {
  if (cert === undefined) return undefined;
  const { validTo } = new X509Certificate(cert);
  const ends = Date.parse(validTo);
  return ends - now > SOON_MS ? undefined : { expires: new Date(ends).toISOString(), expired: ends <= now };
}

export interface Certificates {
  readonly current: () => Pems;
  /** Calls `back` when other ones are in force, until the result is called. */
  readonly onChange: (back: () => void) => () => void;
  /** Looks at the files now. Those in force stay when the new ones are broken, or only half there. */
  look(): void;
  close(): void;
}

export interface CertificateTelling {
  changed(files: CertificateFiles): void;
  /** Once for each problem. */
  failed(problem: string): void;
}

/** Throws CertificateError when the first look fails. `everyMs`: between looks at whether a file was written to; default 10 s. */
export function watchCertificates(
  files: CertificateFiles,
  tell: CertificateTelling,
  everyMs = 10_000,
): Certificates {
  let pems = readCertificates(files);
  let seen = stampOf(files);
  let problem = '';
  const listeners = new Set<() => void>();

  const look = (): void => {
    const stamp = stampOf(files);
    if (stamp === seen) return;
    try {
      pems = readCertificates(files);
    } catch (thrown) {
      // A certificate and its key are written one after the other: the next look may find both.
      const text = reasonOf(thrown);
      if (text !== problem) tell.failed(text);
      problem = text;
      return;
    }
    seen = stamp;
    problem = '';
    tell.changed(files);
    for (const listener of [...listeners]) listener();
  };
  const timer = setInterval(look, everyMs).unref();

  return {
    current: () => pems,
    onChange(back) {
      const own = (): void => back();
      listeners.add(own);
      return () => listeners.delete(own);
    },
    look,
    close: () => clearInterval(timer),
  };
}

/** Other for files that were written to, or replaced by others, as a Kubernetes secret is. */
function stampOf({ caFile, certFile, keyFile }: CertificateFiles): string {
  return [caFile, certFile, keyFile]
    .map((file) => {
      if (file === undefined) return '';
      try {
        const { ino, mtimeMs, size } = statSync(file);
        return `${ino} ${mtimeMs} ${size}`;
      } catch {
        return 'gone';
      }
    })
    .join('|');
}
