/** Tidegate in front of etcd: the same requests to both gateways, and the streams that only a socket can carry. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runTidegate, type Served, serveTidegate } from './etcd/command.js';
import { type Answer, ask, comparable, isError, summary } from './etcd/compare.js';
import { DIFFERENCES } from './etcd/differences.js';
import { base64, REQUESTS } from './etcd/requests.js';
import { ETCD_CONTRACT, type Etcd, missingParts, startEtcd } from './etcd/server.js';
import { readSnapshot, SHA256_BYTES } from './etcd/snapshot.js';
import { openSocket } from './etcd/socket.js';

const missing = missingParts();
if (missing.length > 0) {
  console.warn(
    `etcd is not tested: no ${missing.join(', ')}; apt-get install etcd-server golang-etcd-server-dev golang-gogoprotobuf-dev`,
  );
}

const { proto, includes } = ETCD_CONTRACT;
const contract = ['--proto', proto, ...includes.flatMap((folder) => ['--include', folder])];
/** As grpc-gateway prints JSON and routes; and etcd 3.4 takes any `authorization` for a token of one of its users. */
const likeEtcd = ['--duplicate-routes', 'first', '--proto-names', '--strip-header', 'authorization'];

describe.skipIf(missing.length > 0)('etcd', () => {
  /** Asked through its own gateway. */
  let other: Etcd;
  /** Asked through Tidegate. */
  let etcd: Etcd;
  let served: Served;
  let token: string;

  beforeAll(async () => {
    [other, etcd] = await Promise.all([startEtcd(), startEtcd()]);
    served = await serveTidegate([...contract, ...likeEtcd, '--upstream', etcd.address]);
    const { out } = await runTidegate(['token', '--sub', 'root', '--role', 'admin']);
    token = out.trimEnd().split('\n').at(-1) ?? '';
  });
  afterAll(async () => {
    await Promise.all([served?.stop(), etcd?.stop(), other?.stop()]);
  });

  const call = (path: string, body: object): Promise<Answer> =>
    ask(served.address, { name: path, path, body }, token);
  const bodyOf = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const answer = await call(path, body);
    expect(answer.status, summary(answer)).toBe(200);
    return answer.body as Record<string, unknown>;
  };
  const open = (path: string) => openSocket(served.address, path, { token });

  describe('its contract', () => {
    test('is refused as Debian ships it, since two methods declare one route, and both are named', async () => {
      const { code, err } = await runTidegate(['check', ...contract, '--upstream', etcd.address]);
      expect(code).toBe(1);
      expect(err).toMatch(
        /rpc\.proto:\d+: etcdserverpb\.Maintenance\/HashKV: POST \/v3\/maintenance\/hash: the same requests already go to .*rpc\.proto:\d+: etcdserverpb\.Maintenance\/Hash: /,
      );
    });

    test('is served with the first of the two, and the other is reached by its name', async () => {
      const { code, out } = await runTidegate([
        'routes',
        ...contract,
        ...likeEtcd,
        '--upstream',
        etcd.address,
      ]);
      expect(code).toBe(0);
      expect(out).toMatch(/^POST +\/v3\/maintenance\/hash .* etcdserverpb\.Maintenance\/Hash /m);
      expect(out).toMatch(/^POST +\/etcdserverpb\.Maintenance\/HashKV /m);
      expect(out).toMatch(/^POST +\/v3\/watch +WS/m);
      expect(await bodyOf('/etcdserverpb.Maintenance/HashKV', {})).toMatchObject({
        hash: expect.any(Number),
      });
    });
  });

  describe('answers as its own gateway does, or the difference is argued:', () => {
    for (const request of REQUESTS) {
      test(request.name, async () => {
        const [theirs, ours] = await Promise.all([
          ask(other.address, request),
          ask(served.address, request, token),
        ]);
        if (isError(ours.body)) expect(Object.keys(ours.body).sort()).toEqual(['code', 'details', 'message']);
        const listed = DIFFERENCES.get(request.name);
        const [a, b] = [comparable(theirs, request), comparable(ours, request)];
        if (listed === undefined) expect(b).toEqual(a);
        else {
          expect({ theirs: summary(theirs), ours: summary(ours) }).toEqual({
            theirs: listed.theirs,
            ours: listed.ours,
          });
          expect(b, 'a difference is listed that is none').not.toEqual(a);
        }
      });
    }

    test('and the table lists no request that is not made', () => {
      const names = REQUESTS.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      expect([...DIFFERENCES.keys()].filter((name) => !names.includes(name))).toEqual([]);
    });
  });

  describe('Watch as a WebSocket', () => {
    const STREAMS = 'etcd_debugging_mvcc_watch_stream_total';
    const WATCHERS = 'etcd_debugging_mvcc_watcher_total';
    const put = (key: string, value: string) =>
      bodyOf('/v3/kv/put', { key: base64(key), value: base64(value) });
    const watched = async () => ({
      streams: await etcd.metric(STREAMS),
      watchers: await etcd.metric(WATCHERS),
    });
    const prefix = { key: base64('watched/'), range_end: base64('watched0') };

    test('a key that is put over REST arrives on the socket, and so does its deletion', async () => {
      const socket = await open('/v3/watch');
      socket.send({ create_request: { ...prefix, prev_kv: true } });
      expect(await socket.next()).toMatchObject({ created: true });
      const { header } = (await put('watched/a', 'one')) as { header: { revision: string } };
      expect(await socket.next()).toEqual({
        header: expect.objectContaining({ revision: header.revision }),
        events: [
          {
            kv: {
              key: base64('watched/a'),
              value: base64('one'),
              create_revision: header.revision,
              mod_revision: header.revision,
              version: '1',
            },
          },
        ],
      });
      await put('elsewhere', 'unseen');
      await bodyOf('/v3/kv/deleterange', prefix);
      expect(await socket.next()).toMatchObject({
        events: [{ type: 'DELETE', kv: { key: base64('watched/a') }, prev_kv: { value: base64('one') } }],
      });
      socket.close();
      await socket.closed;
    });

    test('the socket says what the stream of its own gateway says, and so do the lines of a POST', async () => {
      await put('watched/same', 'one');
      const { header } = (await put('watched/same', 'two')) as { header: { revision: string } };
      const request = { create_request: { ...prefix, start_revision: String(Number(header.revision) - 1) } };
      const socket = await open('/v3/watch');
      socket.send(request);
      const ours = [await socket.next(), await socket.next()];
      socket.close();
      const theirs = (await firstLines(etcd.address, '/v3/watch', { body: request, count: 2 })) as Wrapped[];
      expect(ours).toEqual(theirs.map(({ result }) => result));
      expect(await firstLines(served.address, '/v3/watch', { body: request, count: 2, token })).toEqual(ours);
    });

    test('many watchers share a socket; each can be cancelled, and progress be asked for', async () => {
      await expect.poll(watched).toEqual({ streams: 0, watchers: 0 });
      const socket = await open('/v3/watch');
      for (const watch_id of ['7', '8']) {
        socket.send({ create_request: { ...prefix, watch_id } });
        expect(await socket.next()).toMatchObject({ created: true, watch_id });
      }
      await expect.poll(watched).toEqual({ streams: 1, watchers: 2 });
      socket.send({ cancel_request: { watch_id: 7 } });
      expect(await socket.next()).toMatchObject({ canceled: true, watch_id: '7' });
      await expect.poll(watched).toEqual({ streams: 1, watchers: 1 });
      await put('watched/b', 'x');
      expect(await socket.next()).toMatchObject({
        watch_id: '8',
        events: [{ kv: { key: base64('watched/b') } }],
      });
      const { header } = (await put('elsewhere', 'unseen')) as { header: { revision: string } };
      socket.send({ progress_request: {} });
      expect(await socket.next()).toEqual({ header: expect.objectContaining(header), watch_id: '-1' });
      socket.close();
      await socket.closed;
      await expect.poll(watched).toEqual({ streams: 0, watchers: 0 });
    });

    test.each([
      ['says goodbye', 'close'],
      ['vanishes', 'terminate'],
    ] as const)('a client that %s ends its watcher in etcd within a second', async (_, leave) => {
      const socket = await open('/v3/watch');
      socket.send({ create_request: prefix });
      await socket.next();
      await expect.poll(watched).toEqual({ streams: 1, watchers: 1 });
      socket[leave]();
      await expect.poll(watched, { timeout: 1000 }).toEqual({ streams: 0, watchers: 0 });
    });

    test('on a socket of many calls it runs beside others, and a cancel frame ends it in etcd', async () => {
      await expect.poll(watched).toEqual({ streams: 0, watchers: 0 });
      const socket = await openSocket(served.address, '/ws', { token, protocol: 'tidegate.v1.json' });
      socket.send({ type: 'hello' });
      expect(await socket.next()).toMatchObject({ type: 'welcome' });
      const message = { create_request: prefix };
      socket.send({ type: 'open', sid: 1, method: 'etcdserverpb.Watch/Watch', message });
      const opened = [await socket.next(), await socket.next()];
      expect(opened).toMatchObject([
        { type: 'opened', sid: 1 },
        { type: 'msg', sid: 1, data: { created: true } },
      ]);
      const key = base64('watched/c');
      socket.send({ type: 'open', sid: 2, route: 'POST /v3/kv/put', message: { key } });
      const frames = [await socket.next(), await socket.next(), await socket.next(), await socket.next()];
      expect(frames).toContainEqual(
        expect.objectContaining({
          sid: 1,
          data: expect.objectContaining({ events: [{ kv: expect.objectContaining({ key }) }] }),
        }),
      );
      expect(frames.filter(({ sid }) => sid === 2)).toMatchObject([
        { type: 'opened' },
        { type: 'msg', data: { header: { revision: expect.any(String) } } },
        { type: 'end', status: { code: 0 } },
      ]);
      await expect.poll(watched).toEqual({ streams: 1, watchers: 1 });
      socket.send({ type: 'cancel', sid: 1 });
      expect(await socket.next()).toMatchObject({ type: 'end', sid: 1, status: { code: 1 } });
      await expect.poll(watched, { timeout: 1000 }).toEqual({ streams: 0, watchers: 0 });
      socket.close();
      await socket.closed;
    });

    test('a revision that was compacted is told as an answer of the service', async () => {
      const socket = await open('/v3/watch');
      socket.send({ create_request: { ...prefix, start_revision: 1 } });
      expect(await socket.next()).toMatchObject({ created: true });
      expect(await socket.next()).toMatchObject({ canceled: true, compact_revision: expect.any(String) });
      socket.close();
      await socket.closed;
    });

    test('a message that is none ends the socket with its reason, and the watchers with it', async () => {
      const socket = await open('/v3/watch');
      socket.send({ create_request: prefix });
      await socket.next();
      socket.send({ create_request: { key: 5 } });
      expect(await socket.next()).toMatchObject({
        error: { code: 3, message: expect.stringContaining('create_request') },
      });
      expect(await socket.closed).toBe(4003);
      await expect.poll(watched, { timeout: 1000 }).toEqual({ streams: 0, watchers: 0 });
    });

    test('nobody watches without a token', async () => {
      await expect(openSocket(served.address, '/v3/watch', { token: 'no.token.atall' })).rejects.toThrow(
        '401',
      );
    });
  });

  describe('lease keep-alive as a WebSocket', () => {
    const grant = async (ID: string, TTL: number) => bodyOf('/v3/lease/grant', { ID, TTL });
    const remaining = async (ID: string): Promise<number> =>
      Number((await bodyOf('/v3/lease/timetolive', { ID })).TTL);

    test('a lease that is kept alive outlives its time, and its neighbour does not', async () => {
      await Promise.all([grant('8001', 2), grant('8002', 2)]);
      const socket = await open('/v3/lease/keepalive');
      for (const end = Date.now() + 4000; Date.now() < end; await sleep(500)) {
        socket.send({ ID: '8001' });
        expect(await socket.next()).toMatchObject({ ID: '8001', TTL: '2' });
      }
      expect(await remaining('8001')).toBeGreaterThanOrEqual(0);
      expect(await remaining('8002')).toBe(-1);
      socket.close();
      await expect.poll(() => remaining('8001'), { timeout: 6000, interval: 200 }).toBe(-1);
    });

    test('it sets the time that remains back to the whole', async () => {
      await grant('8003', 60);
      await sleep(2200);
      const before = await remaining('8003');
      expect(before).toBeLessThan(58);
      const socket = await open('/v3/lease/keepalive');
      socket.send({ ID: 8003 });
      expect(await socket.next()).toMatchObject({ ID: '8003', TTL: '60' });
      expect(await remaining('8003')).toBeGreaterThan(before);
      socket.send({ ID: '404' });
      const unknown = await socket.next();
      expect(unknown).toMatchObject({ ID: '404' });
      expect(unknown, 'a TTL of zero is its default, which JSON leaves out').not.toHaveProperty('TTL');
      socket.halfClose();
      expect(await socket.closed, 'etcd ends the stream when the client has ended its side').toBe(1000);
    });
  });

  describe('Snapshot as NDJSON', () => {
    test('is whole: every byte that was announced, a database, and the checksum that etcd appends', async () => {
      for (const key of ['big/1', 'big/2', 'big/3', 'big/4']) {
        await bodyOf('/v3/kv/put', {
          key: base64(key),
          value: Buffer.alloc(1_000_000, key).toString('base64'),
        });
      }
      const snapshot = await readSnapshot(served.address, token);
      expect(snapshot.total).toBeGreaterThan(4_000_000);
      expect(snapshot.database.length).toBe(snapshot.total);
      expect(snapshot.digest).toHaveLength(SHA256_BYTES);
      expect(snapshot.digest.equals(snapshot.computedDigest)).toBe(true);
      expect(snapshot.boltMagic).toBe(0xed0cdaed);
      expect(snapshot.database.length % snapshot.pageSize).toBe(0);
      expect(snapshot.database.includes(Buffer.alloc(1000, 'big/4'))).toBe(true);
    });
  });

  describe('with users', () => {
    test("etcd's own token goes in the header `token`, beside the one for the gateway", async () => {
      await bodyOf('/v3/auth/user/add', { name: 'root', password: 'secret' });
      await bodyOf('/v3/auth/user/grant', { user: 'root', role: 'root' });
      await bodyOf('/v3/auth/enable', {});
      const refused = await call('/v3/kv/range', { key: base64('alpha') });
      expect(summary(refused)).toBe('400 3: etcdserver: user name is empty');
      const login = await bodyOf('/v3/auth/authenticate', { name: 'root', password: 'secret' });
      const headers = {
        authorization: `Bearer ${token}`,
        token: String(login.token),
        'content-type': 'application/json',
      };
      const post = (path: string, body: object) =>
        fetch(`http://${served.address}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
      expect((await post('/v3/kv/range', { key: base64('alpha') })).status).toBe(200);
      expect((await post('/v3/auth/disable', {})).status).toBe(200);
    });
  });

  test('the command stops when it is told to, also with a watch open', async () => {
    const socket = await open('/v3/watch');
    socket.send({ create_request: { key: base64('watched') } });
    await socket.next();
    const [code, close] = await Promise.all([served.stop(), socket.closed]);
    expect({ code, close }).toEqual({ code: 0, close: 4200 });
    await expect.poll(() => etcd.metric('etcd_debugging_mvcc_watch_stream_total')).toBe(0);
  });
});

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** etcd's own gateway has every message of a stream in an object of its own. */
interface Wrapped {
  readonly result: unknown;
}

interface LinesOptions {
  readonly body: object;
  readonly count: number;
  readonly token?: string;
}

/** The first lines of a stream, as JSON; then the client leaves. */
async function firstLines(
  address: string,
  path: string,
  { body, count, token = '' }: LinesOptions,
): Promise<unknown[]> {
  const abort = new AbortController();
  const response = await fetch(`http://${address}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
    signal: abort.signal,
  });
  const values: unknown[] = [];
  let text = '';
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString();
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) values.push(JSON.parse(line));
    if (values.length >= count) break;
  }
  abort.abort();
  return values.slice(0, count);
}
