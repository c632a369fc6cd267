/** A token in a cookie, which browsers send by themselves: it counts for our own pages alone, so that no other page can act in its name. */
import { request as httpRequest } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type Issued, startIssued } from '../support/security/issued.js';

const APP = 'https://app.example.com';
let site: Issued;
beforeEach(async () => {
  site = await startIssued({ flags: ['--bad-tokens', '0', '--token-cookie', 'session', '--origin', APP] });
});
afterEach(() => site.close());

type Headers = Record<string, string>;
const cookie = (token = site.token()): Headers => ({ cookie: `theme=dark; session=${token}` });
const own = () => `http://127.0.0.1:${site.port}`;

function ask(headers: Headers, path = '/v1/customers/ann', method = 'GET'): Promise<number> {
  return new Promise((resolve, reject) => {
    const body = method === 'GET' ? '' : '{"customer_id":"ann"}';
    const all = { ...headers, ...(body !== '' && { 'content-type': 'application/json' }) };
    const options = { host: '127.0.0.1', port: site.port, path, method, headers: all, agent: false };
    httpRequest(options, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    })
      .on('error', reject)
      .end(body);
  });
}

function handshake(headers: Headers): Promise<number> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${site.port}/v1/customers/ann:watch`, { headers });
    socket.on('open', () => {
      resolve(101);
      socket.terminate();
    });
    socket.on('unexpected-response', (_, { statusCode = 0 }) => resolve(statusCode));
    socket.on('error', () => undefined);
  });
}

/** What a browser says of the page that asks, and whether that page may use the cookie. */
const PAGES: readonly (readonly [string, () => Headers, boolean])[] = [
  ['our own', () => ({ origin: own() }), true],
  ['of a named origin', () => ({ origin: APP }), true],
  ['of another site', () => ({ origin: 'https://evil.test' }), false],
  ['without an origin (sandboxed)', () => ({ origin: 'null' }), false],
  ['of another port', () => ({ origin: 'http://127.0.0.1:1' }), false],
  ['of a host that begins as ours', () => ({ origin: `${own()}.evil.test` }), false],
  ['that says nothing of itself', () => ({}), false],
  ['of a sibling host', () => ({ 'sec-fetch-site': 'same-site' }), false],
  ['of another site, without its origin', () => ({ 'sec-fetch-site': 'cross-site' }), false],
];

describe('a page', () => {
  test.each(PAGES)('%s', async (_, page, isTrusted) => {
    const headers = { ...cookie(), ...page() };
    expect(await ask(headers)).toBe(isTrusted ? 200 : 401);
    expect(await ask(headers, '/v1/claims', 'POST')).toBe(isTrusted ? 200 : 403);
    expect(await ask({ ...headers, accept: 'text/event-stream' }, '/v1/customers/ann:watch')).toBe(
      isTrusted ? 200 : 401,
    );
    expect((await handshake(headers)) === 101).toBe(isTrusted);
    // The socket may be gone before its call is made.
    expect(site.service.metadata.length >= 3).toBe(isTrusted);
    if (!isTrusted) expect(site.service.metadata).toEqual([]);
  });

  test('our own, by GET without an origin, as the browser says with Sec-Fetch-Site', async () => {
    expect(await ask({ ...cookie(), 'sec-fetch-site': 'same-origin' })).toBe(200);
    // A method that changes something comes with an Origin.
    expect(await ask({ ...cookie(), 'sec-fetch-site': 'same-origin' }, '/v1/claims', 'POST')).toBe(403);
  });
});

describe('the cookie', () => {
  const ours = () => ({ origin: own() });

  test('gives way to a header, and is no second token beside it', async () => {
    const authorization = `Bearer ${site.token({ sub: 'ben' })}`;
    expect(await ask({ ...cookie(), ...ours(), authorization })).toBe(403);
    expect(await ask({ ...cookie('bad'), authorization: `Bearer ${site.token()}` })).toBe(200);
  });

  test('that comes twice, as one that was set for a parent domain by somebody else, is refused', async () => {
    const twice = { cookie: `session=${site.token({ sub: 'eve' })}; session=${site.token()}` };
    expect(await ask({ ...twice, ...ours() })).toBe(400);
  });

  test('with a bad token is refused', async () => {
    expect(await ask({ ...cookie(site.token({ exp: 1 })), ...ours() })).toBe(401);
    expect(await ask({ ...cookie('x'), ...ours() }, '/v1/open')).toBe(401);
  });

  test('is never seen by the service, which sees the others', async () => {
    const token = site.token();
    expect(await ask({ ...cookie(token), ...ours() })).toBe(200);
    const seen = JSON.stringify(site.service.metadata);
    expect(seen).toContain('ann');
    for (const hidden of ['session', ...token.split('.')]) expect(seen).not.toContain(hidden);
  });

  test('means nothing under another name, or where none is configured', async () => {
    expect(await ask({ cookie: `Session=${site.token()}`, ...ours() })).toBe(401);
    const plain = await startIssued();
    const { port } = site;
    const token = plain.token();
    await site.close();
    site = plain;
    expect(port).not.toBe(plain.port);
    expect(await ask({ ...cookie(token), ...ours() })).toBe(401);
  });
});
