/** Streams that would outlive their right to be there: they end when their token does, and a new token on an open socket brings no other rights. */
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { DEVELOPMENT_SECRET } from '../../gateway/config.js';
import { signToken } from '../../gateway/http/token.js';
import { DOORS } from '../support/door_clients.js';
import { type RunningGateway, startGateway } from '../support/gateway.js';
import { PROBE_PROTO, type Probe, startProbe } from '../support/probe.js';

let probe: Probe;
let gateway: RunningGateway;
const closing: (() => unknown)[] = [];
beforeAll(async () => {
  probe = await startProbe();
  gateway = await startGateway(probe.address, ['--proto', PROBE_PROTO, '--leeway', '0', '--bad-tokens', '0']);
});
afterAll(async () => {
  await gateway.close();
  probe.kill();
});
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const READ = ['secrets:read'];
const tokenOf = (subject: string, seconds: number, permissions: readonly string[] = READ) =>
  signToken({ subject, expiresInSeconds: seconds, permissions, roles: [], key: DEVELOPMENT_SECRET });

describe('a stream whose token expires', () => {
  test.each(DOORS.filter(({ streams }) => streams))(
    'ends through $name, at the service too, and cannot be opened again',
    async ({ name, open }) => {
      const token = tokenOf('u1', 2);
      const session = open(gateway.port, '/v1/secret/open', { token });
      await session.first;
      const since = Date.now();
      const { code, message } = await session.outcome;
      expect(Date.now() - since).toBeLessThan(5_000);
      // An array has no place for a status.
      if (name === 'JSON array') expect(code).toBe('cut');
      else expect([code, message]).toEqual([16, 'token: expired since this stream was opened']);
      await vi.waitFor(() => expect(probe.running).toBe(0));
      const again = await open(gateway.port, '/v1/secret/open', { token }).outcome;
      expect([401, 4316]).toContain(again.http ?? again.close);
    },
  );
});

interface Frame {
  readonly type: string;
  readonly sid?: number;
  readonly status?: { readonly code: number };
}

interface Client {
  readonly frames: Frame[];
  readonly send: (frame: object) => void;
  readonly closed: Promise<number>;
  readonly isOpen: () => boolean;
}

/** A socket that has said hello, with the feature `renew`, and has one stream open if it may. */
async function socketWith(token: string | undefined): Promise<Client> {
  const ws = new WebSocket(`ws://127.0.0.1:${gateway.port}/ws`, ['tidegate.v1.json']);
  closing.push(() => ws.terminate());
  const frames: Frame[] = [];
  ws.on('message', (data: Buffer) => {
    for (const line of data.toString().split('\n')) frames.push(JSON.parse(line) as Frame);
  });
  const closed = new Promise<number>((resolve) => ws.on('close', resolve));
  await new Promise((resolve) => ws.on('open', resolve));
  const send = (frame: object): void => ws.send(JSON.stringify(frame));
  send({ type: 'hello', features: ['renew'], ...(token !== undefined && { token }) });
  send({ type: 'open', sid: 1, route: `GET /v1/${token === undefined ? 'probe' : 'secret'}/open:watch` });
  await vi.waitFor(() => expect(frames.some(({ type }) => type === 'msg')).toBe(true));
  return { frames, send, closed, isOpen: () => ws.readyState === WebSocket.OPEN };
}

const types = ({ frames }: Client) => frames.map(({ type }) => type);
const endOf = ({ frames }: Client) => frames.find(({ type, sid }) => type === 'end' && sid === 1);

describe('a new token on an open socket', () => {
  test('of the same bearer and with no right less lets its calls go on beyond the old one', async () => {
    const client = await socketWith(tokenOf('u1', 2));
    client.send({ type: 'auth', token: tokenOf('u1', 600, [...READ, 'more']) });
    await vi.waitFor(() => expect(types(client)).toContain('auth_ok'));
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect([client.isOpen(), endOf(client)]).toEqual([true, undefined]);
  });

  test('that does not come lets everything end with the old one', async () => {
    const client = await socketWith(tokenOf('u1', 2));
    expect(await client.closed).toBe(4300);
    expect(endOf(client)?.status?.code).toBe(16);
    expect(types(client)).toContain('auth_expiring');
  });

  test.each<[string, () => string]>([
    ['of somebody else', () => tokenOf('u2', 600)],
    ['of somebody else with every right', () => tokenOf('u2', 600, ['*'])],
    ['that has expired', () => tokenOf('u1', -10)],
    ['that nobody has signed', () => tokenOf('u1', 600).replace(/[^.]*$/, '')],
    [
      'of another issuer',
      () =>
        signToken({
          subject: 'u1',
          expiresInSeconds: 600,
          key: DEVELOPMENT_SECRET,
          permissions: READ,
          issuer: 'x',
        }),
    ],
    ['that is none', () => 'secret'],
  ])('%s closes it', async (_, token) => {
    const client = await socketWith(tokenOf('u1', 600));
    client.send({ type: 'auth', token: token() });
    expect(await client.closed).toBe(4316);
    expect(types(client)).not.toContain('auth_ok');
  });

  test('is no way to log in', async () => {
    const client = await socketWith(undefined);
    client.send({ type: 'auth', token: tokenOf('u1', 600) });
    expect(await client.closed).toBe(4316);
  });

  test('with fewer rights ends what it would not have opened, and opens no more of it', async () => {
    const client = await socketWith(tokenOf('u1', 600));
    client.send({ type: 'auth', token: tokenOf('u1', 600, []) });
    await vi.waitFor(() => expect(endOf(client)?.status?.code).toBe(16));
    client.send({ type: 'open', sid: 2, route: 'GET /v1/secret/open:watch' });
    await vi.waitFor(() => {
      const end = client.frames.find(({ type, sid }) => type === 'end' && sid === 2);
      expect(end?.status?.code).toBe(7);
    });
    expect(client.isOpen()).toBe(true);
  });
});
