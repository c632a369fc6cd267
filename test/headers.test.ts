/** Which headers pass, in both directions, and which are stripped or refused. */
import type { IncomingMessage } from 'node:http';
import { describe, expect, test } from 'vitest';
import { metadataFrom, responseHeaders } from '../gateway/http/headers.js';
import { effectiveTimeout, requestId, timeoutFrom } from '../gateway/http/request.js';

describe('metadataFrom', () => {
  test('passes end-to-end headers under their own lower-case names', () => {
    expect({
      ...metadataFrom({ 'X-Tenant': 'a', cookie: 'c=1', accept: '*/*', 'x-many': ['1', '2'] }),
    }).toEqual({
      'x-tenant': 'a',
      cookie: 'c=1',
      accept: '*/*',
      'x-many': ['1', '2'],
    });
  });

  test.each([
    'x-user-id',
    'X-User-Id',
    'X-PERMISSIONS',
    'x-auth-issued-at',
    'connection',
    'keep-alive',
    'te',
    'transfer-encoding',
    'upgrade',
    'host',
    'content-type',
    'content-length',
    'grpc-timeout',
    'Grpc-Status',
    ':path',
    'sec-websocket-key',
    'x-forwarded-for',
  ])('strips %s', (name) => {
    expect(Object.keys(metadataFrom({ [name]: '1' }))).toEqual([]);
  });

  test('strips what the Connection header names', () => {
    expect(Object.keys(metadataFrom({ connection: 'close, X-Hop', 'x-hop': '1', 'x-end': '1' }))).toEqual([
      'x-end',
    ]);
  });

  test.each([
    ['a value that is not ASCII', { 'x-name': 'é' }, /header x-name: only printable ASCII/],
    ['a -bin value that is not base64', { 'x-trace-bin': 'a*b' }, /header x-trace-bin: expected base64/],
    ['a -bin value of impossible length', { 'x-trace-bin': 'abcde' }, /expected base64/],
    ['a name gRPC cannot carry', { 'x!y': '1' }, /cannot receive this name/],
    ['too much', { 'x-big': 'a'.repeat(17_000) }, /more than 16384 bytes/],
  ])('refuses %s', (_, headers, message) => {
    expect(() => metadataFrom(headers)).toThrow(message);
  });

  test('keeps __proto__ from being more than a name', () => {
    const headers = JSON.parse('{"__proto__": "x"}') as Record<string, string>;
    expect(Object.getPrototypeOf({ ...metadataFrom(headers) })).toBe(Object.prototype);
  });
});

test('responseHeaders drops what belongs to HTTP or gRPC itself', () => {
  const metadata = {
    'x-a': '1',
    'set-cookie': ['a=1', 'b=2'],
    'content-type': 'application/grpc',
    'grpc-status': '0',
    connection: 'x',
  };
  expect(responseHeaders(metadata)).toEqual({ 'x-a': '1', 'set-cookie': ['a=1', 'b=2'] });
});

describe('timeouts', () => {
  const from = (headers: IncomingMessage['headers']): number | undefined => timeoutFrom(headers);

  test.each([
    [{}, undefined],
    [{ 'grpc-timeout': '500m' }, 500],
    [{ 'grpc-timeout': '2S', 'x-server-timeout': '1.5' }, 1500],
    [{ 'connect-timeout-ms': '70' }, 70],
    [{ 'grpc-timeout': '1H' }, 3_600_000],
  ])('%o is %s ms', (headers, ms) => expect(from(headers)).toBe(ms));

  test.each([
    [{ 'grpc-timeout': '5' }, /header grpc-timeout: expected digits and a unit/],
    [{ 'grpc-timeout': '123456789S' }, /grpc-timeout/],
    [{ 'x-server-timeout': '-1' }, /header x-server-timeout: expected seconds/],
    [{ 'connect-timeout-ms': '1e3' }, /header connect-timeout-ms/],
  ])('%o is refused', (headers, message) => expect(() => from(headers)).toThrow(message));

  test('the smallest of what is asked and the maximum counts', () => {
    const timeouts = { unaryMs: 30_000, maxMs: 1000, acceptMs: 0, heartbeatMs: 0, helloMs: 0, bodyMs: 0, drainMs: 0 };
    expect(effectiveTimeout(undefined, undefined, timeouts)).toBe(1000);
    expect(effectiveTimeout(500, undefined, timeouts)).toBe(500);
    expect(effectiveTimeout(undefined, undefined, { ...timeouts, maxMs: 0 })).toBe(30_000);
  });
});

test('a sane request id is kept, any other is replaced', () => {
  expect(requestId('abc-1')).toBe('abc-1');
  for (const bad of [undefined, '', 'a b', 'a\nb', 'x'.repeat(129)])
    expect(requestId(bad)).toMatch(/^[0-9a-f-]{36}$/);
});
