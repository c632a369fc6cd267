/** Certificates for tests, made by openssl: an authority, and what it vouches for. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Issued {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface Authority {
  readonly folder: string;
  readonly caFile: string;
  /** A certificate for a DNS name and 127.0.0.1, in files that are written to when the same name is issued again. */
  issue(name: string, options?: { readonly host?: string; readonly days?: number }): Issued;
  remove(): void;
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export function createAuthority(name = 'tests'): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-tls-'));
  const at = (file: string): string => join(folder, file);
  openssl(
    ...['req', '-x509', ...KEY, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-days', '30'],
    ...['-subj', `/CN=${name}`],
  );
  return {
    folder,
    caFile: at('ca.pem'),
    issue(file, { host = 'localhost', days = 90 } = {}) {
      const issued = { certFile: at(`${file}.pem`), keyFile: at(`${file}.key`) };
      writeFileSync(at('names'), `subjectAltName=DNS:${host},IP:127.0.0.1`);
      openssl('req', ...KEY, '-keyout', issued.keyFile, '-out', at('request'), '-subj', `/CN=${host}`);
      openssl(
        ...['x509', '-req', '-in', at('request'), '-CA', at('ca.pem'), '-CAkey', at('ca.key')],
        ...['-out', issued.certFile, '-days', String(days), '-extfile', at('names')],
      );
      return issued;
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
}
