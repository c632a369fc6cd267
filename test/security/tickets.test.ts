/** Tickets: good once, for a short time, for a stream or a socket, and for nothing else; and what the broker keeps of them is of no use. */
import { request as httpRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { createTickets } from '../../gateway/auth/tickets.js';
import { createMemoryBroker } from '../../src/broker/memory.js';
import { ANONYMOUS } from '../../src/principal.js';
import { type Issued, startIssued, useIssued } from '../support/security/issued.js';
import { missingRedis, startRedis } from '../support/servers.js';

const { closing, start } = useIssued();

interface Answer {
  readonly status: number;
  readonly text: string;
}

function ask(
  port: number,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: '127.0.0.1', port, path, method, headers, agent: false },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      },
    );
    request.on('error', reject).end();
  });
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

async function issue({ port, token }: Pick<Issued, 'port' | 'token'>, claims: object = {}): Promise<string> {
  const { status, text } = await ask(port, '/-/tickets', bearer(token(claims)), 'POST');
  expect(status).toBe(200);
  return (JSON.parse(text) as { ticket: string }).ticket;
}

/** Everything that a ticket opens: the status that it is answered with. */
const OPENERS: readonly (readonly [string, (port: number, ticket: string) => Promise<number>])[] = [
  ['an event stream', async (port, ticket) => (await watch(port, ticket, 'text/event-stream')).status],
  ['lines', async (port, ticket) => (await watch(port, ticket, 'application/x-ndjson')).status],
  ['a WebSocket on a route', (port, ticket) => handshake(port, `/v1/customers/ann:watch?ticket=${ticket}`)],
  ['a multiplexed WebSocket', (port, ticket) => handshake(port, `/ws?ticket=${ticket}`)],
];

function watch(port: number, ticket: string, accept: string): Promise<Answer> {
  return ask(port, `/v1/customers/ann:watch?ticket=${ticket}`, { accept });
}

function handshake(port: number, path: string): Promise<number> {
  return new Promise((resolve) => {
    const socket = new WebSocket(
      `ws://127.0.0.1:${port}${path}`,
      path.startsWith('/ws') ? ['tidegate.v1.json'] : [],
    );
    socket.on('open', () => {
      resolve(101);
      socket.close();
    });
    socket.on('unexpected-response', (_, { statusCode = 0 }) => resolve(statusCode));
    socket.on('error', () => undefined);
  });
}

describe('a ticket', () => {
  test.each(OPENERS)('opens %s once: used again it is refused everywhere', async (_, open) => {
    const site = await start();
    const ticket = await issue(site);
    expect([101, 200]).toContain(await open(site.port, ticket));
    for (const [, again] of OPENERS) expect(await again(site.port, ticket)).toBe(401);
  });

  test('makes its bearer who the token said, and nothing of it reaches the service', async () => {
    const site = await start();
    const ticket = await issue(site);
    expect((await watch(site.port, ticket, 'text/event-stream')).text).toContain('event: end');
    expect(site.service.metadata).toMatchObject([{ 'x-user-id': 'ann' }]);
    expect(JSON.stringify([site.service.metadata, site.service.requests])).not.toContain(ticket);
  });

  test('used by many at the same time serves one of them', async () => {
    const site = await start();
    const ticket = await issue(site);
    const openings = Array.from({ length: 40 }, (_, n) =>
      OPENERS[n % OPENERS.length]?.[1](site.port, ticket),
    );
    const statuses = await Promise.all(openings);
    expect(statuses.filter((status) => status === 401)).toHaveLength(39);
  });

  test('is worth nothing after its time', async () => {
    const site = await start('--ticket-ttl', '1s');
    const ticket = await issue(site);
    await sleep(1_100);
    expect(await OPENERS[0]?.[1](site.port, ticket)).toBe(401);
  });

  test('is worth nothing after its token was revoked', async () => {
    const site = await start();
    const ticket = await issue(site, { jti: 't1' });
    const revoker = {
      ...bearer(site.token({ permissions: ['tidegate:revoke'] })),
      'content-type': 'application/json',
    };
    const body = '{"token_id":"t1"}';
    const url = `http://127.0.0.1:${site.port}/-/revocations`;
    expect((await fetch(url, { method: 'POST', headers: revoker, body })).status).toBe(200);
    expect(await OPENERS[0]?.[1](site.port, ticket)).toBe(401);
  });

  test('makes no call that is not a stream, no further ticket and no revocation, and is not used up by trying', async () => {
    const site = await start();
    const ticket = await issue(site, { permissions: ['*'] });
    expect((await ask(site.port, `/v1/customers/ann?ticket=${ticket}`)).status).toBe(401);
    expect((await ask(site.port, `/v1/orders?ticket=${ticket}`, {}, 'POST')).status).toBe(401);
    expect((await ask(site.port, `/-/tickets?ticket=${ticket}`, {}, 'POST')).status).toBe(400);
    expect((await ask(site.port, `/-/revocations?ticket=${ticket}`, {}, 'POST')).status).toBe(400);
    expect((await watch(site.port, ticket, 'text/event-stream')).status).toBe(200);
  });

  test('does not go together with a token or another ticket, and is not used up by trying', async () => {
    const site = await start();
    const [ticket, other] = [await issue(site), await issue(site)];
    const path = `/v1/customers/ann:watch?ticket=${ticket}`;
    expect((await ask(site.port, path, bearer(site.token()))).status).toBe(400);
    expect((await ask(site.port, `${path}&ticket=${other}`)).status).toBe(400);
    expect((await ask(site.port, `${path}&%74icket=${ticket}`)).status).toBe(400);
    expect((await watch(site.port, ticket, 'text/event-stream')).status).toBe(200);
  });

  test.each([
    ['changed', (ticket: string) => `${ticket.slice(0, -1)}${ticket.endsWith('A') ? 'B' : 'A'}`],
    ['shortened', (ticket: string) => ticket.slice(0, -1)],
    ['made longer', (ticket: string) => `${ticket}A`],
    ['nothing but its beginning', () => 'tgt_'],
    ['made up', () => `tgt_${'A'.repeat(32)}`],
    ['a path', () => 'tgt_../../../etc/passwd'],
    ['a pattern', () => `tgt_${'*'.repeat(32)}`],
    ['a token', (_: string, token: string) => `tgt_${token}`],
  ])('that is %s is refused, and the good one is not used up by it', async (_, change) => {
    const site = await start();
    const ticket = await issue(site);
    expect(
      (await watch(site.port, encodeURIComponent(change(ticket, site.token())), 'text/event-stream')).status,
    ).toBe(401);
    expect((await watch(site.port, ticket, 'text/event-stream')).status).toBe(200);
  });

  test('is given to nobody without a good token, and only by POST', async () => {
    const site = await start();
    expect((await ask(site.port, '/-/tickets', {}, 'POST')).status).toBe(401);
    expect((await ask(site.port, '/-/tickets', bearer(site.token({ exp: 1 })), 'POST')).status).toBe(401);
    expect((await ask(site.port, '/-/tickets', bearer(site.token()))).status).toBe(405);
  });

  test('is given to one subject so often at a time, and then to others still', async () => {
    const site = await start('--tickets-at-once', '25');
    const statuses = await Promise.all(
      Array.from(
        { length: 15 },
        async () => (await ask(site.port, '/-/tickets', bearer(site.token()), 'POST')).status,
      ),
    );
    expect(statuses.sort()).toEqual([...Array(10).fill(200), ...Array(5).fill(429)]);
    const others = [];
    for (let n = 0; n < 20; n++) {
      others.push((await ask(site.port, '/-/tickets', bearer(site.token({ sub: `u${n}` })), 'POST')).status);
    }
    expect(others).toEqual([...Array(15).fill(200), ...Array(5).fill(429)]);
  });

  test('is neither given nor taken where tickets are switched off', async () => {
    const site = await start('--token-source', 'authorization');
    expect((await ask(site.port, '/-/tickets', bearer(site.token()), 'POST')).status).toBe(404);
    expect((await watch(site.port, `tgt_${'A'.repeat(32)}`, 'text/event-stream')).status).toBe(401);
  });
});

test('what a broker keeps shows neither the ticket nor the token, and cannot be put under another ticket', async () => {
  const broker = createMemoryBroker();
  const kept: { readonly set: string; readonly value: string }[] = [];
  const members = {
    ...broker.members,
    list: (set: string) => broker.members.list(set),
    remove: (set: string, name: string) => broker.members.remove(set, name),
    sweep: (set: string) => broker.members.sweep(set),
    put: async (...args: Parameters<typeof broker.members.put>) => {
      kept.push({ set: args[0], value: args[2].value ?? '' });
      return broker.members.put(...args);
    },
  } as typeof broker.members;
  const tickets = createTickets({ broker: { members }, ttlMs: 10_000, most: 100 });
  closing.push(tickets.close, () => broker.close());
  const token = 'a-token-that-nobody-may-see';
  const [one, two] = [await tickets.issue(token, ANONYMOUS), await tickets.issue('another', ANONYMOUS)];
  const text = JSON.stringify(kept);
  for (const secret of [one.ticket, one.ticket.slice(4), token, Buffer.from(token).toString('base64')]) {
    expect(text).not.toContain(secret);
  }
  // Somebody who can write there gives the second ticket the first one's token.
  await broker.members.put(kept[1]?.set ?? '', 'token', { ttlMs: 10_000, value: kept[0]?.value ?? '' });
  await expect(tickets.redeem(two.ticket)).rejects.toThrow('ticket: not known, used before, or expired');
  expect(await tickets.redeem(one.ticket)).toBe(token);
});

describe.skipIf(missingRedis() !== undefined)('with nodes that share a broker', () => {
  test('a ticket of one is good once on any of them', async () => {
    const redis = await startRedis();
    closing.push(() => redis.stop());
    const one = await start('--broker', redis.url);
    const two = await startIssued({
      flags: ['--broker', redis.url],
      change: (config) => ({ ...config, auth: { ...config.auth, issuers: one.issuers } }),
    });
    closing.unshift(two.close);
    const nodes = [one, two];
    for (const from of nodes) {
      for (const to of nodes) {
        const ticket = await issue({ port: from.port, token: one.token });
        expect((await watch(to.port, ticket, 'text/event-stream')).status).toBe(200);
        for (const node of nodes) {
          expect((await watch(node.port, ticket, 'text/event-stream')).status).toBe(401);
        }
      }
    }
    const raced = await issue({ port: one.port, token: one.token });
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async (_, n) => {
        return (await watch(nodes[n % 2]?.port ?? 0, raced, 'text/event-stream')).status;
      }),
    );
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
  });
});
