/** nginx with deploy/nginx.conf as it is, but for its ports, in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accepts } from './cluster.js';
import { stop } from './command.js';
import { freePort, ROOT } from './probe.js';

const PROGRAM = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/local/bin/nginx'].find((path) =>
  existsSync(path),
);

/** `apt-get install nginx-light`, if that is what is missing. */
export const missingNginx = (): string | undefined => (PROGRAM === undefined ? 'nginx-light' : undefined);

export interface Nginx {
  readonly port: number;
  stop(): Promise<void>;
}

export interface NginxOptions {
  /** Ports of the gateways. */
  readonly gateways: readonly number[];
  /** A path prefix that is served by another server on loopback: pages of a test, on the origin of the gateway. */
  readonly pages?: { readonly prefix: string; readonly port: number };
}

export async function startNginx({ gateways, pages }: NginxOptions): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-nginx-'));
  mkdirSync(join(folder, 'temp'));
  const port = await freePort();
  const [server] = /^ {2}server 127\.0\.0\.1:8080 .*$/m.exec(
    readFileSync(`${ROOT}deploy/nginx.conf`, 'utf8'),
  ) ?? [''];
  const site = readFileSync(`${ROOT}deploy/nginx.conf`, 'utf8')
    .replace(server, gateways.map((gateway) => server.replace('8080', String(gateway))).join('\n'))
    .replace('listen 80;', `listen 127.0.0.1:${port};${pages === undefined ? '' : pageLocation(pages)}`);
  writeFileSync(join(folder, 'nginx.conf'), mainConfig(folder, site));
  const child: ChildProcess = spawn(PROGRAM as string, ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const limit = performance.now() + 10_000;
  while (!(await accepts(port))) {
    if (child.exitCode !== null || performance.now() > limit) {
      await stop(child, 'SIGKILL');
      throw new Error(`nginx did not start (exit code ${child.exitCode})`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    port,
    stop: async () => {
      await stop(child, 'SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const pageLocation = ({ prefix, port }: { prefix: string; port: number }): string =>
  `\n  location ${prefix} { proxy_pass http://127.0.0.1:${port}; }`;

/** One process, so that there is one to be killed. */
function mainConfig(folder: string, site: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `  ${name}_temp_path ${join(folder, 'temp', name)};`)
    .join('\n');
  return `daemon off;
master_process off;
pid ${join(folder, 'nginx.pid')};
error_log stderr crit;
events { worker_connections 512; }
http {
  access_log off;
${temporary}
${site}
}
`;
}
