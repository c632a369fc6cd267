/** The gateway in other servers: as a middleware of Express and of plain functions, and for upgrades beside other WebSocket servers. */
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, IncomingMessage, type RequestListener, request, type Server } from 'node:http';
import { type AddressInfo, connect, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express from 'express';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { type Config, loadConfig } from '../gateway/config.js';
import { createGateway, type GatewayServer } from '../gateway/gateway.js';
import { readBody } from '../gateway/http/body.js';
import { BodySource } from '../gateway/http/body_source.js';
import { Code } from '../src/status.js';
import { PROBE_PROTO, type Probe, startProbe } from './support/probe.js';

let probe: Probe;
let gateway: GatewayServer;
const open: Server[] = [];

function configWith(...flags: string[]): Config {
  const argv = ['--dev', '--log-level', 'silent', '--upstream', probe.address, '--proto', PROBE_PROTO];
  return loadConfig({ argv: [...argv, '--drain', '300ms', ...flags], env: {} });
}
beforeAll(async () => {
  probe = await startProbe();
  gateway = await createGateway(configWith());
});
afterEach(async () => {
  for (const server of open.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
afterAll(async () => {
  await gateway.close();
  probe.kill();
});

async function serve(listener?: RequestListener): Promise<{ server: Server; url: string }> {
  const server = createServer(listener);
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const json = { 'content-type': 'application/json' };
const put = (url: string, body: string, headers: Record<string, string> = json) =>
  fetch(`${url}/v1/probe`, { method: 'PUT', body, headers });

describe('as a middleware of Express', () => {
  test('serves the routes of the contract, and leaves everything else to the application', async () => {
    const app = express();
    app.use(gateway.middleware);
    app.get('/healthz', (_request, response) => void response.send('mine'));
    app.get('/own%20path', (_request, response) => void response.send('own'));
    const { url } = await serve(app);
    const answer = await fetch(`${url}/v1/probe/ok?count=2`);
    expect(await answer.json()).toMatchObject({ text: 'ok' });
    expect(answer.headers.get('x-powered-by')).toBe('Express');
    expect(await (await fetch(`${url}/healthz`)).text()).toBe('mine');
    expect(await (await fetch(`${url}/own%20path`)).text()).toBe('own');
    expect((await fetch(`${url}/v2/nothing`)).headers.get('content-type')).toMatch(/text\/html/);
  });

  test('answers what goes wrong on its own routes itself', async () => {
    const app = express();
    const failed = vi.fn();
    app.use(gateway.middleware);
    app.use((error: unknown, _request: unknown, _response: unknown, _next: unknown) => failed(error));
    const { url } = await serve(app);
    const bad = await fetch(`${url}/v1/probe/ok?cuont=1`);
    expect([bad.status, ((await bad.json()) as { code: number }).code]).toEqual([400, 3]);
    const wrong = await fetch(`${url}/v1/probe/ok`, { method: 'DELETE' });
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS']);
    expect((await fetch(`${url}/v1/probe/fail`)).status).toBe(400);
    expect((await fetch(`${url}/v1/secret/ok`)).status).toBe(401);
    expect(failed).not.toHaveBeenCalled();
  });

  test('below a path, the rest of the path is the route', async () => {
    const app = express();
    app.use('/api', gateway.middleware);
    const { url } = await serve(app);
    expect(await (await fetch(`${url}/api/v1/probe/ok`)).json()).toMatchObject({ text: 'ok' });
    expect((await fetch(`${url}/v1/probe/ok`)).status).toBe(404);
    const events = await fetch(`${url}/api/v1/probe/ok:watch?count=1`, {
      headers: { accept: 'text/event-stream' },
    });
    expect(await events.text()).toContain('"text":"ok"');
  });

  test('a redirect to the path without its slash stays below the path', async () => {
    const config = configWith();
    const redirecting = await createGateway({
      ...config,
      http: { ...config.http, trailingSlash: 'redirect' },
    });
    const app = express();
    app.use('/api', redirecting.middleware);
    const { url } = await serve(app);
    const answer = await fetch(`${url}/api/v1/probe/ok/?count=1`, { redirect: 'manual' });
    expect([answer.status, answer.headers.get('location')]).toEqual([308, '/api/v1/probe/ok?count=1']);
    await redirecting.close();
  });

  test('a path that is malformed is for the application to judge', async () => {
    const app = express();
    app.use(gateway.middleware);
    app.use((request, response) => void response.send(request.url));
    const { url } = await serve(app);
    const raw = (path: string) =>
      new Promise<string>((resolve, reject) => {
        const asked = request(`${url}`, { path }, (answer) => {
          let text = '';
          answer.setEncoding('utf8').on('data', (chunk: string) => {
            text += chunk;
          });
          answer.on('end', () => resolve(text));
        });
        asked.on('error', reject).end();
      });
    expect(await raw('/static/../x')).toBe('/static/../x');
    expect(await raw('/a//b')).toBe('/a//b');
  });

  test('the admin pages are mounted where the application wants them', async () => {
    const app = express();
    app.use('/ops', gateway.admin);
    app.use(gateway.middleware);
    app.use((_request, response) => void response.status(404).send('mine'));
    const { url } = await serve(app);
    expect(await (await fetch(`${url}/ops/readyz?a=1`)).json()).toMatchObject({
      ready: true,
      contract: { methods: 7 },
    });
    expect(await (await fetch(`${url}/ops/metrics`)).text()).toContain('tidegate_contract_info{');
    expect(await (await fetch(`${url}/ops/nothing`)).text()).toBe('mine');
    expect(await (await fetch(`${url}/readyz`)).text()).toBe('mine');
  });

  test('the admin pages tell of the last look for a contract, also when that found a broken one', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-mount-'));
    const file = join(folder, 'probe.proto');
    copyFileSync(PROBE_PROTO, file);
    const argv = ['--dev', '--log-level', 'silent', '--upstream', probe.address, '--proto', folder];
    const own = await createGateway(loadConfig({ argv: [...argv, '--reload', '0'], env: {} }));
    const app = express();
    app.use('/ops', own.admin);
    const { url } = await serve(app);
    const checked = async (): Promise<number> => {
      const { contract } = (await (await fetch(`${url}/ops/readyz`)).json()) as {
        contract: { checkedAt: string };
      };
      return Date.parse(contract.checkedAt);
    };
    const succeeded = async (): Promise<string | undefined> =>
      /^tidegate_contract_last_success\S+ (.*)$/m.exec(await (await fetch(`${url}/ops/metrics`)).text())?.[1];
    const times = [await checked()];
    const before = await succeeded();
    expect(before).toMatch(/^\d/);
    writeFileSync(file, 'message Half {');
    // The second one finds what the first has found already.
    for (const _ of ['first', 'second']) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      await expect(own.reload()).rejects.toThrow();
      times.push(await checked());
    }
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
    expect(await succeeded()).toBe(before);
    await own.close();
    rmSync(folder, { recursive: true });
  });
});

describe('behind a body parser', () => {
  async function behind(...parsers: express.RequestHandler[]): Promise<string> {
    const app = express();
    app.use(...parsers, gateway.middleware);
    return (await serve(app)).url;
  }

  test('what it made of the body is served as if nobody had read it', async () => {
    const url = await behind(express.json());
    expect(await (await put(url, '{"text":"a","sequence":"12","seen":{"x":"é"}}')).json()).toEqual({
      sequence: '12',
      text: 'a',
      seen: { x: 'é' },
    });
    const stream = await fetch(`${url}/v1/sum`, {
      method: 'POST',
      body: '[{"sequence":1},{"sequence":"2"}]',
      headers: json,
    });
    expect(await stream.json()).toMatchObject({ sequence: '3' });
    expect(await (await put(url, '')).json()).toEqual({});
    expect(await (await fetch(`${url}/v1/probe/ok`)).json()).toMatchObject({ text: 'ok' });
  });

  test('a parser that does not know the type leaves the body to the gateway', async () => {
    const url = await behind(express.json());
    const lines = await fetch(`${url}/v1/sum`, {
      method: 'POST',
      body: '{"sequence":1}\n{"sequence":4}\n',
      headers: { 'content-type': 'application/x-ndjson' },
    });
    expect(await lines.json()).toMatchObject({ sequence: '5' });
  });

  test('bytes and texts are taken as they are', async () => {
    const bytes = await behind(express.raw({ type: () => true }));
    const proto = await put(bytes, '\x12\x01b', { 'content-type': 'application/x-protobuf' });
    expect(await proto.json()).toEqual({ text: 'b' });
    const text = await behind(express.text({ type: () => true }));
    expect(await (await put(text, '{"text":"c"}')).json()).toEqual({ text: 'c' });
  });

  test('a body that was compressed is not inflated twice', async () => {
    const url = await behind(express.json());
    const { gzipSync } = await import('node:zlib');
    const answer = await fetch(`${url}/v1/probe`, {
      method: 'PUT',
      body: gzipSync('{"text":"zipped"}'),
      headers: { ...json, 'content-encoding': 'gzip' },
    });
    expect(await answer.json()).toEqual({ text: 'zipped' });
  });

  test('what is wrong in it is refused as ever', async () => {
    const url = await behind(express.json());
    const unknown = await put(url, '{"txt":"a"}');
    expect([unknown.status, ((await unknown.json()) as { message: string }).message]).toEqual([
      400,
      expect.stringContaining('/txt'),
    ]);
    // JSON.parse has rounded it, so that nobody can tell what it was.
    const rounded = await put(url, '{"sequence":9007199254740993}');
    expect([rounded.status, ((await rounded.json()) as { message: string }).message]).toEqual([
      400,
      expect.stringContaining('/sequence'),
    ]);
    const small = await createGateway(configWith('--body-limit', '20'));
    const app = express();
    app.use(express.json(), small.middleware);
    expect((await put((await serve(app)).url, '{"text":"more than twenty bytes"}')).status).toBe(413);
    await small.close();
  });

  test('an empty body is none, however late the request comes', async () => {
    const late: express.RequestHandler = (_request, _response, next) => void setTimeout(next, 20);
    const ask = async (url: string, method: string, path: string): Promise<unknown> => {
      const asked = request(`${url}${path}`, {
        method,
        headers: { ...json, 'transfer-encoding': 'chunked' },
      });
      asked.end();
      const [answer] = (await once(asked, 'response')) as [IncomingMessage];
      let text = '';
      for await (const chunk of answer) text += chunk;
      return [answer.statusCode, JSON.parse(text)];
    };
    const plain = await behind(late);
    for (const parser of [express.json({ type: () => true }), express.raw({ type: () => true })]) {
      for (const url of [await behind(parser), await behind(parser, late)]) {
        expect(await ask(url, 'PUT', '/v1/probe')).toEqual([200, {}]);
        expect(await ask(url, 'POST', '/v1/sum')).toEqual(await ask(plain, 'POST', '/v1/sum'));
      }
    }
  });

  test('a body that has ended unread is empty, and one that never will has lost its client', async () => {
    const limits = { bytes: 100, stallMs: 0 };
    const ended = new IncomingMessage(new Socket());
    ended.complete = true;
    ended.push(null);
    await once(ended.resume(), 'end');
    expect(await readBody(ended, limits)).toHaveLength(0);
    expect(await new BodySource(ended, 0).next()).toBeUndefined();
    const left = new IncomingMessage(new Socket());
    left.on('error', () => {}).destroy();
    await expect(readBody(left, limits)).rejects.toMatchObject({ code: Code.CANCELLED });
    await expect(new BodySource(left, 0).next()).rejects.toMatchObject({ code: Code.CANCELLED });
  });

  test('a form is refused where none is taken, and a nested one everywhere', async () => {
    const config = configWith();
    const taking = await createGateway({ ...config, http: { ...config.http, formOverride: true } });
    const app = express();
    app.use(express.urlencoded({ extended: true }), taking.middleware);
    const { url } = await serve(app);
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    for (const body of ['text=a', 'b[c]=2']) {
      const refused = await put(url, body, form);
      expect([refused.status, refused.headers.get('accept-post')]).toEqual([
        415,
        'application/json, application/x-protobuf',
      ]);
    }
    const post = (path: string, body: string) =>
      fetch(`${url}${path}`, { method: 'POST', body, headers: form });
    expect((await post('/v1/sum', 'b[c]=2')).status).toBe(415);
    expect(await (await post('/v1/probe/ok', 'count=2')).json()).toMatchObject({ text: 'ok' });
    const nested = await post('/v1/probe/ok', 'b[c]=2');
    expect([nested.status, ((await nested.json()) as { message: string }).message]).toEqual([
      400,
      'body: a form whose fields are nested is not served here',
    ]);
    await taking.close();
  });

  test('a body that no route asks for may be gone', async () => {
    const url = await behind((request, _response, next) => {
      request.on('data', () => {}).on('end', () => next());
    });
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const asked = request(`${url}/v1/probe/ok`, {
        method: 'GET',
        headers: { ...json, 'content-length': 2 },
      });
      asked.on('response', (answer) => resolve(answer.resume().statusCode)).on('error', reject);
      asked.end('{}');
    });
    expect(status).toBe(200);
  });

  test('a body that is gone is told to whoever mounted the gateway there', async () => {
    const swallow: express.RequestHandler = (request, _response, next) => {
      request.on('data', () => {}).on('end', () => next());
    };
    const url = await behind(swallow);
    const answer = await put(url, '{"text":"a"}');
    expect(answer.status).toBe(500);
    expect(((await answer.json()) as { message: string }).message).toContain('mount the gateway before');
    expect((await fetch(`${url}/v2/nothing`, { method: 'POST', body: 'x' })).status).toBe(404);
  });
});

test('as a middleware of plain functions, which have no `originalUrl`', async () => {
  type Step = (
    request: IncomingMessage,
    response: import('node:http').ServerResponse,
    next: () => void,
  ) => void;
  const steps: Step[] = [
    gateway.middleware,
    (_request, response) => {
      response.end('mine');
    },
  ];
  const { url } = await serve((request, response) => {
    const run = (index: number): void => steps[index]?.(request, response, () => run(index + 1));
    run(0);
  });
  expect(await (await fetch(`${url}/v1/probe/ok`)).json()).toMatchObject({ text: 'ok' });
  expect(await (await fetch(`${url}/else`)).text()).toBe('mine');
});

describe('for upgrades on another server', () => {
  const received = async (socket: WebSocket): Promise<string> => String((await once(socket, 'message'))[0]);
  const statusOf = async (socket: WebSocket): Promise<number> => {
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
    response.destroy();
    return response.statusCode ?? 0;
  };

  /** The answer to a plain request that offers another protocol, as Java's HttpClient does. */
  const offerH2c = (url: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1', () => {
        socket.write(
          'GET /v1/probe/ok HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, close\r\nupgrade: h2c\r\n\r\n',
        );
      });
      let text = '';
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      socket.on('close', () => resolve(text));
    });

  test.each(['before', 'after'])('beside a ws server on another path that listens %s it', async (order) => {
    const { server, url } = await serve((_request, response) => void response.end('plain'));
    const ws = url.replace('http', 'ws');
    if (order === 'after') gateway.attach(server);
    const others = new WebSocketServer({ server, path: '/other' });
    others.on('connection', (socket) => socket.send('other'));
    const detach = order === 'before' ? gateway.attach(server) : undefined;

    const call = new WebSocket(`${ws}/v1/probe/ok:watch?count=1`);
    expect(await received(call)).toContain('"text":"ok"');
    const session = new WebSocket(`${ws}/ws`, 'tidegate.v1.json');
    await once(session, 'open');
    session.send('{"type":"hello"}');
    expect(await received(session)).toContain('"type":"welcome"');
    session.close();
    expect(await received(new WebSocket(`${ws}/other`))).toBe('other');
    // Neither knows it: ws refuses.
    expect(await statusOf(new WebSocket(`${ws}/neither`))).toBe(400);

    detach?.();
    if (detach) expect(await statusOf(new WebSocket(`${ws}/v1/probe/ok:watch`))).toBe(400);
    for (const client of others.clients) client.terminate();
  });

  test('alone: what is not ours is served as a plain request, as without any listener', async () => {
    const { server, url } = await serve((request, response) => {
      response.writeHead(418).end(`plain ${request.url}`);
    });
    gateway.attach(server);
    expect(await statusOf(new WebSocket(`${url.replace('http', 'ws')}/neither`))).toBe(418);
    const h2c = await offerH2c(url);
    expect(h2c).toMatch(/^HTTP\/1\.1 418 [\s\S]*plain \/v1\/probe\/ok\r\n/);
  });

  test('several on one server: each has its own, and what none wants is served as a plain request', async () => {
    const { server, url } = await serve((request, response) => {
      response.writeHead(418).end(`plain ${request.url}`);
    });
    const ws = url.replace('http', 'ws');
    const { emit } = server;
    const other = await createGateway(configWith());
    const detachments = [
      gateway.attach(server),
      other.attach(server, { path: '/a' }),
      gateway.attach(server, { path: '/b/' }),
    ];
    for (const path of ['', '/a', '/b']) {
      const call = new WebSocket(`${ws}${path}/v1/probe/ok:watch?count=1`);
      expect(await received(call)).toContain('"text":"ok"');
    }
    expect(await statusOf(new WebSocket(`${ws}/neither`))).toBe(418);
    expect(await offerH2c(url)).toMatch(/^HTTP\/1\.1 418 /);

    detachments[0]?.();
    detachments[0]?.();
    expect(await statusOf(new WebSocket(`${ws}/v1/probe/ok:watch?count=1`))).toBe(418);
    await other.close();
    expect(await statusOf(new WebSocket(`${ws}/a/v1/probe/ok:watch?count=1`))).toBe(418);
    const call = new WebSocket(`${ws}/b/v1/probe/ok:watch?count=1`);
    expect(await received(call)).toContain('"text":"ok"');
    detachments[2]?.();
    expect([server.emit === emit, server.listenerCount('upgrade')]).toEqual([true, 0]);
    gateway.attach(server);
    expect(await received(new WebSocket(`${ws}/v1/probe/ok:watch?count=1`))).toContain('"text":"ok"');
  });

  test('below a path', async () => {
    const app = express();
    app.use('/api', gateway.middleware);
    const { server, url } = await serve(app);
    gateway.attach(server, { path: '/api' });
    const ws = url.replace('http', 'ws');
    const call = new WebSocket(`${ws}/api/v1/probe/ok:watch?count=1`);
    expect(await received(call)).toContain('"text":"ok"');
    expect(await statusOf(new WebSocket(`${ws}/v1/probe/ok:watch`))).toBe(404);
    expect(await statusOf(new WebSocket(`${ws}/apiv1/probe/ok:watch`))).toBe(404);
  });
});

test('close() ends our calls and no others, and gives the handshakes back', async () => {
  const own = await createGateway(configWith());
  const app = express();
  app.use(own.middleware);
  let answerOther: () => void = () => {};
  app.get('/slow', (_request, response) => {
    answerOther = () => void response.send('late');
  });
  const { server, url } = await serve(app);
  own.attach(server);
  const slow = fetch(`${url}/slow`);
  const events = await fetch(`${url}/v1/probe/open:watch?count=1`, {
    headers: { accept: 'text/event-stream' },
  });
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/probe/open:watch?count=1`);
  await once(socket, 'message');
  const closed = once(socket, 'close');
  await own.close();
  expect(await events.text()).toMatch(/event: ?drain/);
  expect((await closed)[0]).toBe(4200);
  expect((await fetch(`${url}/v1/probe/ok`)).status).toBe(503);
  expect(server.listening).toBe(true);
  expect(server.listenerCount('upgrade')).toBe(0);
  answerOther();
  expect(await (await slow).text()).toBe('late');
});
