/** Status and errors, rule by rule: what a client sees of how its call ended. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { STATUS } from '../../src/status.js';
import { startGateway, tokenFor } from '../support/gateway.js';
import { startHttp2Server } from '../support/raw_server.js';
import { type Answer, ask, type Door, ECHO_PROTO, jsonOf, startDoor } from './rules.js';

let door: Door;
beforeAll(async () => {
  door = await startDoor();
});
afterAll(() => door.close());

const fail = (body: object, headers = {}): Promise<Answer> => door.ask({ send: 'POST /fail', body, headers });

/** The details of an error, but for the request's own. */
function detailsOf(answer: Answer): readonly object[] {
  const details = jsonOf(answer).details as { '@type': string }[];
  return details.filter((detail) => !detail['@type'].endsWith('google.rpc.RequestInfo'));
}

/** TRANSCODING's table, written out once more: codes and their HTTP statuses. */
const TABLE: [number, number][] = [
  [1, 499],
  [2, 500],
  [3, 400],
  [4, 504],
  [5, 404],
  [6, 409],
  [7, 403],
  [8, 429],
  [9, 400],
  [10, 409],
  [11, 400],
  [12, 501],
  [13, 500],
  [14, 503],
  [15, 500],
  [16, 401],
];

describe('the HTTP status of each code', () => {
  test.each(TABLE.map(([code, http]) => [STATUS[code]?.name ?? '', code, http] as const))(
    '%s %d is %d',
    async (_, code, http) => {
      const answer = await fail({ code, message: 'no tide' });
      expect([answer.status, answer.headers['content-type']]).toEqual([http, 'application/json']);
      expect(jsonOf(answer)).toMatchObject({ code, message: 'no tide' });
      expect(detailsOf(answer)).toEqual([]);
    },
  );

  test('a code that gRPC does not have is UNKNOWN', async () => {
    const answer = await fail({ code: 99, message: 'no tide' });
    expect([answer.status, jsonOf(answer).code]).toEqual([500, 2]);
  });
});

describe('details', () => {
  const type = (name: string): string => `type.googleapis.com/${name}`;

  test('of the contract', async () => {
    const detail = { '@type': type('echo.v1.Thing'), id: 'x', bigNumber: '1' };
    expect(detailsOf(await fail({ code: 9, details: [detail] }))).toEqual([detail]);
  });

  test('of google.protobuf', async () => {
    const detail = { '@type': type('google.protobuf.Duration'), value: '1.500s' };
    expect(detailsOf(await fail({ code: 9, details: [detail] }))).toEqual([detail]);
  });

  test('of google.rpc, though the contract has none of it', async () => {
    // ErrorInfo {reason: "LOW", domain: "tide"}
    const value = Buffer.from('\n\u0003LOW\u0012\u0004tide').toString('base64');
    const answer = await fail({ code: 9, detailType: type('google.rpc.ErrorInfo'), detailValue: value });
    expect(detailsOf(answer)).toEqual([
      { '@type': type('google.rpc.ErrorInfo'), reason: 'LOW', domain: 'tide' },
    ]);
  });

  test('of an unknown type are shown as what they are, and hide nothing', async () => {
    const known = { '@type': type('echo.v1.Thing'), id: 'x' };
    const asked = {
      code: 5,
      message: 'gone',
      details: [known],
      detailType: type('no.Such'),
      detailValue: 'AQI=',
    };
    const answer = await fail(asked);
    expect(answer.status).toBe(404);
    expect(jsonOf(answer).message).toBe('gone');
    expect(detailsOf(answer)).toEqual([known, { '@type': type('no.Such'), value: 'AQI=' }]);
  });

  test('that are broken are shown as what they are, and hide nothing', async () => {
    const answer = await fail({ code: 5, detailType: type('echo.v1.Thing'), detailValue: '/w==' });
    expect(answer.status).toBe(404);
    expect(detailsOf(answer)).toEqual([{ '@type': type('echo.v1.Thing'), value: '/w==' }]);
  });

  test('400s carry google.rpc.BadRequest with the field', async () => {
    for (const [send, field] of [
      ['GET /f?number=x', 'number'],
      ['GET /f?child.big_number=x', 'child.big_number'],
      ['GET /t/x/pages/y', 'number'],
      ['GET /t/%zz', 'path segment 2'],
    ] as const) {
      const [detail] = detailsOf(await door.ask({ send }));
      expect(detail, send).toMatchObject({
        '@type': type('google.rpc.BadRequest'),
        fieldViolations: [{ field, description: expect.any(String) }],
      });
    }
    const body = await door.ask({ send: 'POST /f', body: { children: [{ number: 'x' }] } });
    expect(detailsOf(body)[0]).toMatchObject({
      fieldViolations: [{ field: expect.stringContaining('children') }],
    });
  });
});

describe('headers of a refusal', () => {
  const retryInfo = (seconds: number) => ({
    detailType: 'type.googleapis.com/google.rpc.RetryInfo',
    detailValue: Buffer.of(10, 2, 8, seconds).toString('base64'),
  });

  test.each([8, 14])('Retry-After comes from RetryInfo, for code %d', async (code) => {
    expect((await fail({ code, ...retryInfo(7) })).headers['retry-after']).toBe('7');
    expect((await fail({ code })).headers['retry-after']).toBeUndefined();
  });

  test('401 carries WWW-Authenticate', async () => {
    const refused = await door.ask({ send: 'GET /secret/x', headers: { authorization: 'Bearer x.y.z' } });
    expect(refused.status).toBe(401);
    expect(refused.headers['www-authenticate']).toMatch(/^Bearer .*error=/);
    const missing = await door.ask({ send: 'GET /secret/x' });
    expect([missing.status, missing.headers['www-authenticate']?.startsWith('Bearer')]).toEqual([401, true]);
    expect((await fail({ code: 7 })).headers['www-authenticate']).toBeUndefined();
  });

  test('what the service says cannot break out of WWW-Authenticate', async () => {
    const authorization = `Bearer ${tokenFor('u1')}`;
    const { headers } = await fail({ code: 16, message: 'a"b\\c\u00f6' }, { authorization });
    expect(headers['www-authenticate']).toMatch(/^Bearer [ !-~]*$/);
    expect(headers['www-authenticate']?.split('"').length).toBe(5);
  });

  test('the request id is in every error, and in every answer', async () => {
    for (const send of [
      'POST /fail',
      'GET /nothing',
      'DELETE /t/exact',
      'GET /t/%zz',
      'GET /secret/x',
      'GET /t/5',
    ]) {
      const answer = await door.ask({ send, headers: { 'x-request-id': 'tide-1' } });
      expect(answer.headers['x-request-id'], send).toBe('tide-1');
      const made = await door.ask({ send, headers: { 'x-request-id': 'no good id' } });
      expect(made.headers['x-request-id'], send).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  test('trailers that came with the status', async () => {
    expect((await fail({ code: 9 })).headers).toMatchObject({ 'x-reason': 'asked' });
    expect((await fail({ code: 9 })).headers).not.toHaveProperty('grpc-status-details-bin');
    expect((await fail({ code: 9 })).headers).not.toHaveProperty('grpc-status');
  });
});

describe('what the gateway says for a service that cannot', () => {
  test('upstream addresses never leak', async () => {
    const alone = await startDoor();
    alone.service.kill();
    const answer = await alone.ask({ send: 'GET /t/5' });
    expect([answer.status, jsonOf(answer).code]).toEqual([503, 14]);
    expect(answer.text).not.toContain(alone.service.address.split(':')[1]);
    expect(answer.text).not.toContain('127.0.0.1');
    await alone.close();
  });

  /** HTTP statuses without grpc-status map by gRPC's table (http-grpc-status-mapping.md). */
  test.each([
    [400, 500, 13],
    [401, 401, 16],
    [403, 403, 7],
    [404, 501, 12],
    [429, 503, 14],
    [502, 503, 14],
    [503, 503, 14],
    [504, 503, 14],
    [418, 500, 2],
  ])('an upstream that answers HTTP %d is %d, code %d', async (upstream, http, code) => {
    const server = await startHttp2Server((stream) => {
      stream.respond({ ':status': upstream, 'content-type': 'text/html' });
      stream.end('<h1>secret insides</h1>');
    });
    const gateway = await startGateway(server.address, ['--proto', ECHO_PROTO]);
    const answer = await ask(gateway.port, { send: 'GET /t/5' });
    expect([answer.status, jsonOf(answer).code]).toEqual([http, code]);
    expect(answer.text).not.toContain('insides');
    await gateway.close();
    await server.stop();
  });

  /** RST_STREAM codes map by gRPC's table (PROTOCOL-HTTP2.md, "Errors"). */
  test.each([
    ['REFUSED_STREAM', 7, 503],
    ['CANCEL', 8, 499],
    ['ENHANCE_YOUR_CALM', 11, 429],
    ['INADEQUATE_SECURITY', 12, 403],
    ['INTERNAL_ERROR', 2, 500],
  ])('an upstream that resets with %s (%d) is %d', async (_, reset, http) => {
    const server = await startHttp2Server((stream) => stream.close(reset));
    const gateway = await startGateway(server.address, ['--proto', ECHO_PROTO]);
    const answer = await ask(gateway.port, { send: 'GET /t/5' });
    expect(answer.status, answer.text).toBe(http);
    expect(answer.text).not.toContain('RST_STREAM');
    await gateway.close();
    await server.stop();
  });
});
