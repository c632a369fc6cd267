/** Brokers over TLS: what a gateway trusts them by is the authority that the process is told of, and the name in their certificate. */
import { execFile, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Authority, createAuthority } from './support/certificates.js';
import { stop } from './support/command.js';
import { freePort, ROOT } from './support/probe.js';
import { missingNats, missingRedis } from './support/servers.js';

let authority: Authority;
beforeAll(() => {
  authority = createAuthority('brokers');
});
afterAll(() => authority.remove());

/** Asks a broker in a process of its own, as a gateway would at its start, and answers what it says. */
function ask(url: string, authorityFile: string | undefined): Promise<string> {
  const script = `
    import { openBroker } from '${ROOT}dist/src/broker/open.js';
    const broker = await openBroker(process.argv[1], { waitMs: 3_000 });
    const logs = broker.logs('tests', { entries: 10, ageMs: 60_000, bytes: 1_000 });
    try {
      await logs.append('a', [{ nonce: 7, data: Buffer.from('over TLS') }]);
      const { entries } = await logs.read('a', { after: 0, limit: 1 });
      console.log(Buffer.from(entries[0].data).toString());
    } catch (error) {
      console.log(error.message);
    }
    await broker.close();`;
  const trusted = authorityFile === undefined ? {} : { NODE_EXTRA_CA_CERTS: authorityFile };
  const env = { PATH: process.env.PATH, ...trusted };
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      ['--input-type=module', '-e', script, url],
      { env },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout.trim());
        else reject(new Error(stderr));
      },
    );
  });
}

const SERVERS = [
  {
    name: 'redis',
    scheme: 'rediss',
    missing: missingRedis(),
    command: 'redis-server',
    config: (port: number, cert: string, key: string, folder: string) =>
      [
        'port 0',
        `tls-port ${port}`,
        `bind 127.0.0.1`,
        `dir ${folder}`,
        'save ""',
        'tls-auth-clients no',
        `tls-cert-file ${cert}`,
        `tls-key-file ${key}`,
      ].join('\n'),
    args: (file: string) => [file],
  },
  {
    name: 'nats',
    scheme: 'tls',
    missing: missingNats(),
    command: 'nats-server',
    config: (port: number, cert: string, key: string, folder: string) =>
      [
        `listen: "127.0.0.1:${port}"`,
        `jetstream: { store_dir: "${folder}" }`,
        `tls: { cert_file: "${cert}", key_file: "${key}" }`,
      ].join('\n'),
    args: (file: string) => ['-c', file],
  },
] as const;

describe.each(SERVERS)('$name over TLS', ({ name, scheme, missing, command, config, args }) => {
  if (missing !== undefined) console.warn(`${name} over TLS: ${missing}`);

  test.skipIf(missing !== undefined)(
    'is used when its certificate is vouched for and has its name, and not otherwise',
    async () => {
      const serving = async (host: string, use: (port: number) => Promise<void>): Promise<void> => {
        const port = await freePort();
        const { certFile, keyFile } = authority.issue(`${name}-${host}`, { host });
        const file = join(authority.folder, `${name}.conf`);
        writeFileSync(file, config(port, certFile, keyFile, authority.folder));
        const server = spawn(command, args(file), {
          stdio: 'ignore',
          env: { PATH: `${process.env.PATH}${delimiter}/usr/sbin` },
        });
        try {
          await use(port);
        } finally {
          await stop(server, 'SIGKILL');
        }
      };
      await serving('localhost', async (port) => {
        expect(await ask(`${scheme}://localhost:${port}`, authority.caFile)).toBe('over TLS');
        expect(await ask(`${scheme}://localhost:${port}`, undefined)).toMatch(/certificate/);
      });
      await serving('elsewhere.example', async (port) => {
        expect(await ask(`${scheme}://127.0.0.1:${port}`, authority.caFile)).toBe('over TLS');
        expect(await ask(`${scheme}://localhost:${port}`, authority.caFile)).toMatch(/altnames/);
      });
    },
    40_000,
  );
});
