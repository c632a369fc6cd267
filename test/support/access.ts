/** A gateway in front of owned.proto with a configuration file of its own, and a way to ask it in plain HTTP. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../gateway/config.js';
import { createGateway, type GatewayServer } from '../../gateway/gateway.js';
import { OWNED_PROTO, type Owned, startOwned } from './owned.js';

export interface Guarded {
  readonly port: number;
  readonly gateway: GatewayServer;
  readonly service: Owned;
  readonly folder: string;
  /** Writes the configuration file anew. */
  configure(yaml: string): void;
  ask(path: string, options?: AskOptions): Promise<Answer>;
  close(): Promise<void>;
}

export interface AskOptions {
  readonly method?: string;
  readonly token?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: unknown;
}

/** `yaml`: the configuration file, in which FOLDER stands for a folder of its own. It may be read again. */
export async function startGuarded(yaml: string, flags: readonly string[] = []): Promise<Guarded> {
  const service = await startOwned();
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-access-'));
  const file = join(folder, 'tidegate.yaml');
  const configure = (text: string): void => writeFileSync(file, text.replaceAll('FOLDER', folder));
  configure(yaml);
  const argv = [
    ...['--dev', '--port', '0', '--log-level', 'silent', '--drain', '1s', '--reload', '0'],
    ...['--proto', OWNED_PROTO, '--upstream', service.address, '--config', file],
    ...flags,
  ];
  const load = () => loadConfig({ argv, env: {} });
  const gateway = await Promise.resolve()
    .then(() => createGateway(load(), { reread: load }))
    .catch((thrown: unknown) => {
      service.kill();
      rmSync(folder, { recursive: true });
      throw thrown as Error;
    });
  const { port } = await gateway.listen();
  return {
    port,
    gateway,
    service,
    folder,
    configure,
    ask: (path, options) => ask(port, path, options),
    async close() {
      await gateway.close();
      service.kill();
      rmSync(folder, { recursive: true });
    },
  };
}

function ask(port: number, path: string, { method = 'GET', token, headers, body }: AskOptions = {}) {
  return new Promise<Answer>((resolve, reject) => {
    const sent = { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers };
    const request = httpRequest(
      { host: '127.0.0.1', port, path, method, headers: sent, agent: false },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => {
          const text = Buffer.concat(parts).toString();
          const status = response.statusCode ?? 0;
          resolve({ status, headers: response.headers, text, json: jsonOf(text) });
        });
      },
    );
    request.on('error', reject).end(body);
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
