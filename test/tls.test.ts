/** TLS at the gateway and towards services, with certificates that are renewed while it runs. */
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, get as httpsGet } from 'node:https';
import { connect as plainConnect } from 'node:net';
import { join } from 'node:path';
import { connect, createServer, type PeerCertificate, type Server, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { type Config, type ConfigError, loadConfig } from '../gateway/config.js';
import {
  CertificateError,
  expiryOf,
  readCertificates,
  watchCertificates,
} from '../gateway/tls/certificates.js';
import { createAuthority } from './support/certificates.js';
import { startGateway, tokenFor } from './support/gateway.js';
import { PROBE_PROTO, type Probe, startProbe } from './support/probe.js';

const authority = createAuthority();
const strangers = createAuthority('strangers');
let probe: Probe;
beforeAll(async () => {
  probe = await startProbe();
});
afterAll(() => {
  probe.kill();
  authority.remove();
  strangers.remove();
});

const ca = readFileSync(authority.caFile);
const FLAGS = ['--proto', PROBE_PROTO];

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly serial: string;
}

/** Over a connection of its own, unless there is an agent. */
function get(port: number, path: string, agent: Agent | false = false): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${tokenFor('u1')}` };
    httpsGet({ host: '127.0.0.1', port, path, ca, agent, headers, servername: 'localhost' }, (response) => {
      const { serialNumber } = (response.socket as TLSSocket).getPeerCertificate() as PeerCertificate;
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text, serial: serialNumber }));
    }).on('error', reject);
  });
}

/** With TLS at its own port, on a certificate of the authority. */
async function startSecure(file: string) {
  const issued = authority.issue(file);
  const flags = [...FLAGS, '--tls-cert', issued.certFile, '--tls-key', issued.keyFile];
  const running = await startGateway(probe.address, flags);
  onTestFinished(() => running.close());
  return { ...running, issued };
}

describe('the gateway', () => {
  test('speaks https and wss, and chooses http/1.1', async () => {
    const { port } = await startSecure('own');
    expect(await get(port, '/v1/probe/ok')).toMatchObject({ status: 200 });
    const socket = connect({
      host: '127.0.0.1',
      port,
      ca,
      ALPNProtocols: ['h2', 'http/1.1'],
      servername: 'localhost',
    });
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    expect(socket.alpnProtocol).toBe('http/1.1');
    expect(socket.getProtocol()).toMatch(/^TLSv1\.[23]$/);
    socket.destroy();
    const ws = new WebSocket(`wss://127.0.0.1:${port}/ws`, ['tidegate.v1.json'], { ca });
    await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject));
    ws.terminate();
  });

  test('tells services that they were asked over https', async () => {
    const { port } = await startSecure('forwarded');
    const { text } = await get(port, '/v1/probe/ok');
    expect(JSON.parse(text).seen).toMatchObject({ 'x-forwarded-proto': 'https' });
  });

  test('has nothing for those who speak no TLS, or an old one', async () => {
    const { port } = await startSecure('strict');
    const plain = plainConnect(port, '127.0.0.1');
    plain.write('GET /v1/probe/ok HTTP/1.1\r\nhost: x\r\n\r\n');
    const heard: Buffer[] = [];
    plain.on('data', (data: Buffer) => heard.push(data)).on('error', () => {});
    await new Promise((resolve) => plain.once('close', resolve));
    expect(Buffer.concat(heard).toString('latin1')).not.toContain('HTTP/');
    const old = connect({ host: '127.0.0.1', port, ca, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' });
    const error = await new Promise<Error>((resolve) => old.once('error', resolve));
    expect(error.message).toMatch(/version|protocol|alert|no protocols/i);
  });

  test('serves a renewed certificate to new connections, and lets the others go on', async () => {
    const { port, gateway } = await startSecure('renewed');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const before = await get(port, '/v1/probe/ok', agent);
    const stream = get(port, '/v1/probe/endless:watch?count=3');
    authority.issue('renewed');
    await gateway.reload();
    const [same, other] = [await get(port, '/v1/probe/ok', agent), await get(port, '/v1/probe/ok')];
    expect(same).toMatchObject({ status: 200, serial: before.serial });
    expect(other.status).toBe(200);
    expect(other.serial).not.toBe(before.serial);
    void stream.catch(() => {});
  });

  test('keeps its certificate when the new one is broken', async () => {
    const { port, gateway, issued } = await startSecure('broken');
    const before = await get(port, '/v1/probe/ok');
    writeFileSync(issued.certFile, 'nothing that is a certificate');
    await gateway.reload();
    expect(await get(port, '/v1/probe/ok')).toEqual({ ...before, text: expect.any(String) });
  });
});

describe('certificates', () => {
  test('are looked at again and again', async () => {
    const files = authority.issue('watched');
    const told: string[] = [];
    const watched = watchCertificates(
      files,
      { changed: () => told.push('changed'), failed: (problem) => told.push(problem) },
      20,
    );
    onTestFinished(() => watched.close());
    const first = watched.current();
    const key = readFileSync(files.keyFile);
    authority.issue('watched');
    await vi.waitFor(() => expect(told).toContain('changed'));
    expect(watched.current().cert).not.toEqual(first.cert);
    // A key of another certificate, as between the two writes of a renewal.
    writeFileSync(files.keyFile, key);
    const problem = `${files.keyFile}: this is not the key of the certificate in ${files.certFile}`;
    await vi.waitFor(() => expect(told.at(-1)).toBe(problem));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(told.filter((one) => one === problem)).toHaveLength(1);
    authority.issue('watched');
    await vi.waitFor(() => expect(told.at(-1)).toBe('changed'));
  });

  test('that expire soon are told of', () => {
    const pems = readCertificates(authority.issue('soon', { days: 3 }));
    expect(expiryOf(pems)).toMatchObject({ expired: false });
    expect(expiryOf(pems, Date.now() + 4 * 86_400_000)).toMatchObject({ expired: true });
    expect(expiryOf(readCertificates(authority.issue('later')))).toBeUndefined();
  });

  test('that cannot be used are refused with the name of the file', () => {
    const { certFile, keyFile } = authority.issue('good');
    const none = join(authority.folder, 'none.pem');
    expect(() => readCertificates({ certFile: none, keyFile })).toThrow(
      new CertificateError(`cannot read ${none}: ENOENT`),
    );
    expect(() => readCertificates({ certFile: keyFile, keyFile })).toThrow(
      `${keyFile}: expected a certificate in PEM form`,
    );
    expect(() => readCertificates({ certFile, keyFile: certFile })).toThrow(
      `${certFile}: expected a private key in PEM form`,
    );
    expect(() => readCertificates({ certFile, keyFile: strangers.issue('other').keyFile })).toThrow(
      'this is not the key',
    );
    expect(() => readCertificates({ caFile: keyFile })).toThrow(
      `${keyFile}: expected a certificate in PEM form`,
    );
  });
});

describe('the configuration', () => {
  const problemsOf = (argv: readonly string[], file?: object): readonly string[] => {
    try {
      const readFile = () => JSON.stringify(file);
      loadConfig({
        argv: [...(file ? [] : ['--upstream', 'localhost:1']), '--dev', ...argv],
        env: {},
        ...(file && { readFile }),
      });
      return [];
    } catch (thrown) {
      return (thrown as ConfigError).problems;
    }
  };

  test('wants a key beside a certificate', () => {
    const { certFile } = authority.issue('alone');
    expect(problemsOf(['--tls-cert', certFile])).toEqual(['flag --tls-cert: expected keyFile beside it']);
    expect(problemsOf(['--tls-key', certFile])).toEqual(['flag --tls-key: expected certFile beside it']);
  });

  test('says which file cannot be used', () => {
    const { keyFile } = authority.issue('unread');
    expect(problemsOf(['--tls-cert', '/nowhere.pem', '--tls-key', keyFile])).toEqual([
      'flag --tls-cert: cannot read /nowhere.pem: ENOENT',
    ]);
    const upstreams = [{ address: 'localhost:1', tls: { caFile: keyFile, name: 'x' } }];
    expect(problemsOf(['--config', '/x/t.yaml'], { upstreams }).join()).toMatch(
      /upstreams\[?.?0\]?\.tls\.name: unknown key/,
    );
  });

  test('takes grpcs:// for TLS with the authorities of Node, and files relative to itself', () => {
    const argv = ['--upstream', 'orders.v1=grpcs://orders.example:443', '--dev'];
    const { upstreams } = loadConfig({ argv, env: {} });
    expect(upstreams).toEqual([
      { name: 'orders.v1', address: 'orders.example:443', services: ['orders.v1.'], trusted: false, tls: {} },
    ]);
    expect(
      problemsOf(['--config', '/x/t.yaml'], {
        upstreams: [{ address: 'a:1', tls: { caFile: 'ca.pem' } }],
      }).join(),
    ).toContain('cannot read /x/ca.pem: ENOENT');
  });
});

describe('towards a service', () => {
  let servers: Server[] = [];
  afterEach(() => {
    for (const server of servers) server.close();
    servers = [];
  });

  /** TLS in front of the probe. `seen`: the serial numbers of certificates that callers showed. */
  async function secured({ mutual = false, host = 'localhost' } = {}) {
    const seen: string[] = [];
    const sockets = new Set<TLSSocket>();
    const issued = authority.issue(`service-${host}`, { host });
    const options = {
      cert: readFileSync(issued.certFile),
      key: readFileSync(issued.keyFile),
      ALPNProtocols: ['h2'],
      ca,
      requestCert: mutual,
      rejectUnauthorized: mutual,
    };
    const [, probePort = ''] = probe.address.split(':');
    const server = createServer(options, (socket) => {
      if (mutual) seen.push(socket.getPeerCertificate().serialNumber);
      sockets.add(socket);
      const inner = plainConnect(Number(probePort), '127.0.0.1');
      socket.pipe(inner).pipe(socket);
      for (const [one, other] of [
        [socket, inner],
        [inner, socket],
      ] as const)
        one.on('error', () => other.destroy()).on('close', () => other.destroy());
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const cut = (): void => {
      for (const socket of sockets) socket.destroy();
    };
    return { address: `localhost:${port}`, seen, cut };
  }

  async function gatewayTo(address: string, tls: Config['upstreams'][number]['tls']) {
    const running = await startGateway(address, FLAGS, (config) => ({
      ...config,
      upstreams: config.upstreams.map((upstream) => ({ ...upstream, tls })),
    }));
    onTestFinished(() => running.close());
    const call = async (): Promise<number> => {
      const headers = { authorization: `Bearer ${tokenFor('u1')}` };
      return (await fetch(`http://127.0.0.1:${running.port}/v1/probe/ok`, { headers })).status;
    };
    return { ...running, call };
  }

  test('calls go through TLS, and a certificate that nobody vouches for is refused', async () => {
    const { address } = await secured();
    const good = await gatewayTo(address, { caFile: authority.caFile });
    expect(await good.call()).toBe(200);
    const bad = await gatewayTo(address, { caFile: strangers.caFile });
    expect(await bad.call()).toBe(503);
    const unknown = await gatewayTo(address, {});
    expect(await unknown.call()).toBe(503);
    const plain = await gatewayTo(address, undefined);
    expect(await plain.call()).toBe(503);
  });

  test('the name in the certificate has to be that of the service', async () => {
    const { address } = await secured({ host: 'orders.internal' });
    const named = await gatewayTo(address, { caFile: authority.caFile, serverName: 'orders.internal' });
    expect(await named.call()).toBe(200);
    const unnamed = await gatewayTo(address, { caFile: authority.caFile });
    expect(await unnamed.call()).toBe(503);
  });

  test('the gateway shows who it is to a service that asks, and anew when that was renewed', async () => {
    const { address, seen, cut } = await secured({ mutual: true });
    const { certFile, keyFile } = authority.issue('client');
    const files = { caFile: authority.caFile, certFile, keyFile };
    const shown = await gatewayTo(address, files);
    expect(await shown.call()).toBe(200);
    const anonymous = await gatewayTo(address, { caFile: authority.caFile });
    expect(await anonymous.call()).toBe(503);
    const first = seen.at(-1);
    authority.issue('client');
    await shown.gateway.reload();
    expect(await shown.call()).toBe(200);
    expect(seen.at(-1)).toBe(first);
    cut();
    await vi.waitFor(async () => {
      expect(await shown.call()).toBe(200);
      expect(seen.at(-1)).not.toBe(first);
    });
  });
});
