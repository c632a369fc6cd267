/** Headers, deadlines and cancelling, rule by rule: what reaches the service besides its message, and what comes back. */
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { tokenFor } from '../support/gateway.js';
import { type Door, jsonOf, metadataIn, startDoor } from './rules.js';

let door: Door;
let limited: Door;
beforeAll(async () => {
  door = await startDoor();
  limited = await startDoor('--timeout', '5s', '--max-timeout', '10s');
});
afterAll(() => Promise.all([door.close(), limited.close()]));

const get = (headers: Record<string, string | string[]>, send = 'GET /t/5') => door.ask({ send, headers });
const seen = async (headers: Record<string, string | string[]>) => metadataIn(await get(headers));

describe('headers in', () => {
  test('every end-to-end header under its own lower-case name', async () => {
    const given = {
      Authorization: `Bearer ${tokenFor('u1')}`,
      Cookie: 'a=b',
      'X-Custom_Thing.v1': 'Yes, it is',
      'If-None-Match': '"x"',
      'Accept-Language': 'de',
    };
    expect(await seen(given)).toMatchObject({
      authorization: expect.stringMatching(/^Bearer /),
      cookie: 'a=b',
      'x-custom_thing.v1': 'Yes, it is',
      'if-none-match': '"x"',
      'accept-language': 'de',
    });
  });

  test.each([
    'connection',
    'keep-alive',
    'proxy-authorization',
    'te',
    'upgrade',
    'host',
    'expect',
    'content-type',
    'content-language',
    'grpc-encoding',
    'grpc-tags-bin',
    'grpc-trace',
  ])('but not %s', async (name) => {
    const value = name === 'connection' || name === 'expect' || name === 'upgrade' ? undefined : 'AAAA';
    const metadata = await seen(value === undefined ? {} : { [name]: value });
    expect(Object.keys(metadata)).not.toContain(name);
  });

  test('nor what Connection names', async () => {
    const metadata = await seen({ connection: 'close, X-Hop', 'x-hop': '1', 'x-end': '2' });
    expect(metadata).toMatchObject({ 'x-end': '2' });
    expect(Object.keys(metadata)).not.toContain('x-hop');
  });

  test('identity headers are always stripped, then set from the verified token', async () => {
    const forged = {
      'x-user-id': 'root',
      'x-permissions': '*',
      'x-auth-issued-at': '1',
      'X-User-Id': 'root',
    };
    expect(Object.keys(await seen(forged)).filter((name) => name.startsWith('x-user'))).toEqual([]);
    expect(Object.keys(await seen(forged))).not.toContain('x-permissions');
    const metadata = await seen({ ...forged, authorization: `Bearer ${tokenFor('u1', ['a:b'])}` });
    expect(metadata).toMatchObject({ 'x-user-id': 'u1', 'x-permissions': 'a:b' });
    expect(metadata['x-auth-issued-at']).not.toBe('1');
  });

  test('x-forwarded-* are those of the peer, when no hop is trusted', async () => {
    const metadata = await seen({
      'x-forwarded-for': '1.2.3.4',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'evil.example',
      host: 'tide.example',
    });
    expect(metadata).toMatchObject({
      'x-forwarded-for': expect.stringMatching(/^(::ffff:)?127\.0\.0\.1$/),
      'x-forwarded-proto': 'http',
      'x-forwarded-host': 'tide.example',
    });
  });

  test('-bin is checked base64', async () => {
    expect(await seen({ 'x-data-bin': 'AQL/' })).toMatchObject({ 'x-data-bin': 'AQL/' });
    expect(await seen({ 'x-data-bin': 'AQ' })).toMatchObject({ 'x-data-bin': 'AQ==' });
    const answer = await get({ 'x-data-bin': 'not base64!' });
    expect([answer.status, jsonOf(answer).message]).toEqual([400, 'header x-data-bin: expected base64']);
  });

  test.each(['caf\u00e9', 'tab\there'])('a value that gRPC cannot carry is refused: %j', async (value) => {
    const answer = await get({ 'x-text': value });
    expect([answer.status, jsonOf(answer).message]).toEqual([400, expect.stringMatching(/^header x-text: /)]);
  });

  test('at most 16 KB', async () => {
    expect((await get({ 'x-large': 'x'.repeat(15_000) })).status).toBe(200);
    expect([429, 431]).toContain((await get({ 'x-large': 'x'.repeat(17_000) })).status);
  });
});

describe('headers out', () => {
  test('under their own names, without what belongs to gRPC or the connection', async () => {
    const { headers } = await get({});
    expect(headers).toMatchObject({ 'x-echo': 'Route', 'x-data-bin': 'AQL/' });
    expect(Object.keys(headers).filter((name) => name.startsWith('grpc-'))).toEqual([]);
    expect(headers['content-type']).toBe('application/json');
  });
});

describe('the deadline', () => {
  const remaining = async (headers: Record<string, string>, from = limited) =>
    Number(jsonOf(await from.ask({ send: 'GET /t/5', headers })).remainingMs);

  test.each([
    ['grpc-timeout', { 'grpc-timeout': '2S' }, 2000],
    ['X-Server-Timeout, in seconds', { 'x-server-timeout': '1.5' }, 1500],
    ['Connect-Timeout-Ms', { 'connect-timeout-ms': '2500' }, 2500],
    [
      'the smallest of them',
      { 'grpc-timeout': '3S', 'x-server-timeout': '2', 'connect-timeout-ms': '2500' },
      2000,
    ],
    ['under the maximum', { 'grpc-timeout': '1H' }, 10_000],
    ['or the default', {}, 5000],
  ])('%s goes upstream', async (_, headers, ms) => {
    const left = await remaining(headers);
    expect(left).toBeLessThanOrEqual(ms);
    expect(left).toBeGreaterThan(ms - 900);
  });

  test.each([
    ['grpc-timeout', '5'],
    ['grpc-timeout', '123456789S'],
    ['grpc-timeout', '-1S'],
    ['x-server-timeout', 'soon'],
    ['x-server-timeout', '-1'],
    ['connect-timeout-ms', '1.5'],
  ])('a bad value is refused: %s: %s', async (name, value) => {
    const answer = await get({ [name]: value });
    expect([answer.status, jsonOf(answer).message]).toEqual([
      400,
      expect.stringMatching(`^header ${name}: `),
    ]);
  });

  test('the gateway answers 504 itself if the service does not', async () => {
    const before = door.service.cancelled.length;
    const started = Date.now();
    const answer = await get({ 'grpc-timeout': '150m' }, 'GET /wait');
    expect([answer.status, jsonOf(answer).code]).toEqual([504, 4]);
    expect(Date.now() - started).toBeLessThan(1000);
    await vi.waitFor(() => expect(door.service.cancelled.length).toBe(before + 1));
  });

  test('of nothing is one that has passed', async () => {
    expect((await get({ 'grpc-timeout': '0m' })).status).toBe(504);
  });
});

describe('the client that leaves resets the call within a second', () => {
  const leave = async (method: string, body: string, headers: Record<string, string>) => {
    const { reached, cancelled } = door.service;
    const [calls, before] = [reached.length, cancelled.length];
    const options = { host: '127.0.0.1', port: door.port, method, path: '/wait', headers, agent: false };
    const leaving = request(options).on('error', () => undefined);
    if (body === '') leaving.end();
    else leaving.write(body);
    await vi.waitFor(() => expect(reached.length).toBe(calls + 1), { interval: 10 });
    const left = Date.now();
    leaving.destroy();
    await vi.waitFor(() => expect(cancelled.length).toBe(before + 1), { timeout: 2000, interval: 10 });
    expect(Date.now() - left).toBeLessThan(1000);
  };

  test('while it waits', () => leave('GET', '', {}));

  test('also with a body that nobody reads', () =>
    leave('GET', 'x'.repeat(100_000), { 'content-length': '1000000' }));

  test('and one whose body never came is no call at all', async () => {
    const calls = door.service.reached.length;
    const options = { host: '127.0.0.1', port: door.port, method: 'POST', path: '/wait', agent: false };
    const leaving = request({ ...options, headers: { 'content-length': '10' } }).on('error', () => undefined);
    leaving.write('{');
    await new Promise((resolve) => setTimeout(resolve, 100));
    leaving.destroy();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(door.service.reached.length).toBe(calls);
  });
});
