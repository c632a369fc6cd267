/** Templates and routing, rule by rule, through a running gateway. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadConfig } from '../../gateway/config.js';
import { createGateway } from '../../gateway/gateway.js';
import { folders, HEAD } from '../support/contracts/loading.js';
import { type Door, jsonOf, requestIn, startDoor, testRules } from './rules.js';

let door: Door;
beforeAll(async () => {
  door = await startDoor();
});
afterAll(async () => {
  await door.close();
  folders.remove();
});

describe('the whole grammar', () => {
  testRules(
    () => door,
    [
      { rule: 'literals', send: 'GET /t/exact', sees: {} },
      { rule: '{v} takes one segment', send: 'GET /t/5', sees: { id: '5' } },
      { rule: '{v} takes one segment, not two', send: 'GET /t/5/6', refused: 404 },
      { rule: '{v} needs one character', send: 'GET /t/', refused: 404 },
      { rule: '* takes one segment and captures none', send: 'GET /t/star/x/5', sees: { id: '5' } },
      { rule: '* takes one segment, not none', send: 'GET /t/star/5', refused: 404 },
      { rule: '** takes zero segments', send: 'GET /t/files', sees: {} },
      { rule: '** takes many segments', send: 'GET /t/files/a/b/c', sees: { name: 'a/b/c' } },
      { rule: '** takes no empty segment', send: 'GET /t/files/a//c', refused: 404 },
      { rule: '** is the last before the verb', send: 'GET /t/tail/a/b:open', sees: { name: 'a/b' } },
      { rule: '** before a verb does not match without it', send: 'GET /t/tail/a/b', refused: 404 },
      {
        rule: '{v=a/*} takes what its pattern does',
        send: 'GET /t/books/shelves/1/books/2',
        sees: { name: 'shelves/1/books/2' },
      },
      { rule: '{v=a/*} takes nothing else', send: 'GET /t/books/shelves/1/tapes/2', refused: 404 },
      { rule: '{a.b.c} sets a field within', send: 'GET /t/deep/5', sees: { child: { child: { id: '5' } } } },
      { rule: ':verb', send: 'GET /t/5:start', sees: { id: '5' } },
      {
        rule: 'several variables of several types',
        send: 'GET /t/x/pages/7',
        sees: { name: 'x', number: 7 },
      },
      {
        rule: 'a variable has the type of its field',
        send: 'GET /t/x/pages/seven',
        refused: 400,
        says: /^path variable "number": expected an int32/,
      },
    ],
  );
});

describe('a contract is refused at load, with its place, for', () => {
  const cases: [string, string, RegExp][] = [
    ['a template that does not begin with /', 'get: "v1/x"', /column 1/],
    ['a variable that is not closed', 'get: "/v1/{text"', /not closed/],
    ['a variable that holds a variable', 'get: "/v1/{text={number}}"', /cannot hold another variable/],
    ['a variable that binds twice', 'get: "/v1/{text}/{text}"', /"text" is bound twice/],
    ['** that is not the last', 'get: "/v1/**/x"', /nothing but a verb may follow/],
    ['a variable that names a repeated field', 'get: "/v1/{list}"', /list.*a repeated field/],
    ['a variable that names a message', 'get: "/v1/{inner}"', /inner.*a message/],
    ['a variable that names no field', 'get: "/v1/{nobody}"', /no field "nobody"/],
    ['a body that names no field', 'post: "/v1/x" body: "nobody"', /body: .*no field "nobody"/],
    ['a body within a field', 'post: "/v1/x" body: "inner.text"', /body: .*no field "inner.text"/],
    [
      'a response_body that names no field',
      'get: "/v1/x" response_body: "nobody"',
      /response_body.*"nobody"/,
    ],
    [
      'duplicate bindings, naming both with file and line',
      'get: "/v1/{text}" additional_bindings {get: "/v1/{number}"}',
      /a\.proto:\d+: .*GET \/v1\/\{number\}: the same requests already go to a\.proto:\d+: .*GET \/v1\/\{text\}/,
    ],
  ];
  test.each(cases)('%s: {%s}', async (_, rule, says) => {
    const proto = folders.write({
      'a.proto': `${HEAD}package a;
message M { string text = 1; int32 number = 2; repeated string list = 3; M inner = 4; }
service S { rpc Do(M) returns (M) { option (google.api.http) = {${rule}}; } }`,
    });
    const argv = ['--dev', '--log-level', 'silent', '--upstream', '127.0.0.1:1', '--proto', proto];
    const error: unknown = await createGateway(loadConfig({ argv, env: {} })).then(
      (gateway) => gateway.close(),
      (reason: unknown) => reason,
    );
    expect(String((error as Error | undefined)?.message)).toMatch(says);
  });
});

describe('a trie per HTTP method: literal before * before **, with backtracking', () => {
  testRules(
    () => door,
    [
      { rule: 'a literal goes before a variable', send: 'GET /t/exact', sees: {} },
      { rule: 'a literal goes before ** that would match too', send: 'GET /t/files', sees: {} },
      {
        rule: 'what fails under a literal is tried under *',
        send: 'GET /t/exact/notes',
        sees: { id: 'exact' },
      },
      {
        rule: 'what fails under two literals is tried under *',
        send: 'GET /t/star/pages/7',
        sees: { id: '7' },
      },
      { rule: 'a deeper literal goes first', send: 'GET /t/star/deep/5/end', sees: { id: '5' } },
      { rule: 'and what fails under it is tried under *', send: 'GET /t/star/deep/5', sees: { id: '5' } },
      { rule: 'each HTTP method has its own', send: 'PUT /t/exact', sees: { id: 'exact' } },
      { rule: 'paths are case-sensitive', send: 'GET /T/5', refused: 404 },
    ],
  );
});

describe('split the raw path on / first, then decode', () => {
  testRules(
    () => door,
    [
      { rule: 'one segment is decoded whole', send: 'GET /t/a%2Fb%20c%3Fd', sees: { id: 'a/b c?d' } },
      { rule: 'in UTF-8', send: 'GET /t/%E2%82%AC', sees: { id: '€' } },
      { rule: 'once, not twice', send: 'GET /t/%252F', sees: { id: '%2F' } },
      { rule: '+ is a plus in a path', send: 'GET /t/a+b', sees: { id: 'a+b' } },
      {
        rule: 'several segments are decoded but for %2F',
        send: 'GET /t/files/a%2Fb%20c/d%2fe',
        sees: { name: 'a%2Fb c/d%2fe' },
      },
      { rule: 'literals compare after unreserved characters are decoded', send: 'GET /t/%65xact', sees: {} },
      { rule: 'the template too', send: 'GET /t/a%7Eb/5', sees: { id: '5' } },
      { rule: 'an escaped slash divides nothing', send: 'GET /t%2Fexact', refused: 404 },
      { rule: 'malformed %', send: 'GET /t/%zz', refused: 400, says: /^path segment 2: %/ },
      { rule: '% at the end', send: 'GET /t/a%2', refused: 400, says: /^path segment 2: %/ },
      { rule: 'bytes that are not UTF-8', send: 'GET /t/%FF', refused: 400, says: /not UTF-8/ },
      { rule: 'an overlong slash', send: 'GET /t/%C0%AF', refused: 400, says: /not UTF-8/ },
      { rule: 'a .. segment', send: 'GET /t/x/../y', refused: 400, says: /"\.\." is not allowed/ },
      { rule: 'an escaped .. segment', send: 'GET /t/files/%2e%2E/y', refused: 400, says: /"\.\."/ },
      { rule: 'a . segment', send: 'GET /t/./y', refused: 400, says: /"\." is not allowed/ },
      { rule: 'dots within a segment are text', send: 'GET /t/..x', sees: { id: '..x' } },
      { rule: '// never matches *', send: 'GET /t/star//5', refused: 404 },
      { rule: '// is not /', send: 'GET //t/5', refused: 404 },
      { rule: 'a trailing slash is another path', send: 'GET /t/exact/', refused: 404 },
    ],
  );
});

describe('the verb is what follows the last raw colon, if it is registered', () => {
  testRules(
    () => door,
    [
      { rule: 'a registered one', send: 'GET /t/urn:x:1:start', sees: { id: 'urn:x:1' } },
      { rule: 'else the colon is kept', send: 'GET /t/urn:x:1', sees: { id: 'urn:x:1' } },
      { rule: '%3A never starts one', send: 'GET /t/5%3Astart', sees: { id: '5:start' } },
      { rule: 'it is case-sensitive', send: 'GET /t/5:START', sees: { id: '5:START' } },
      { rule: 'nothing before it is no id', send: 'GET /t/:start', sees: { id: ':start' } },
    ],
  );
});

describe('what HTTP methods a path knows', () => {
  const allow = 'GET, HEAD, OPTIONS, PURGE, PUT';
  testRules(
    () => door,
    [
      { rule: 'unknown path', send: 'GET /nothing', refused: 404, says: /no route/ },
      { rule: 'unknown path, any method', send: 'PATCH /nothing', refused: 404 },
      {
        rule: 'another method: Allow is the union over all matching nodes',
        send: 'DELETE /t/exact',
        refused: 405,
        has: { allow },
      },
      { rule: 'a custom kind', send: 'PURGE /t/5', sees: { id: '5' } },
      { rule: 'a custom kind, elsewhere', send: 'PURGE /t/5/notes', refused: 405 },
      { rule: 'the custom kind * is every method', send: 'DELETE /t/every/x', sees: { name: 'x' } },
      { rule: 'the custom kind * is every method of its path alone', send: 'DELETE /t/every', refused: 405 },
      { rule: 'additional_bindings', send: 'PUT /t/5', sees: { id: '5' } },
    ],
  );

  test('OPTIONS is answered from the table', async () => {
    const answer = await door.ask({ send: 'OPTIONS /t/exact' });
    expect([answer.status, answer.headers.allow, answer.text]).toEqual([204, allow, '']);
    expect((await door.ask({ send: 'OPTIONS /nothing' })).status).toBe(404);
  });

  test('HEAD is the GET route without the body', async () => {
    const get = await door.ask({ send: 'GET /t/5' });
    const head = await door.ask({ send: 'HEAD /t/5' });
    expect([head.status, head.text, head.headers['content-type']]).toEqual([200, '', 'application/json']);
    expect(Math.abs(Number(head.headers['content-length']) - get.text.length)).toBeLessThan(20);
    expect((await door.ask({ send: 'HEAD /nothing' })).status).toBe(404);
    expect((await door.ask({ send: 'HEAD /collect' })).status).toBe(405);
  });

  test('HEAD is a custom binding where there is one', async () => {
    const before = door.service.reached.length;
    expect((await door.ask({ send: 'HEAD /t/head/x' })).status).toBe(200);
    expect(requestIn(await door.ask({ send: 'GET /t/head/x' }))).toEqual({ id: 'x' });
    expect(door.service.reached.length).toBe(before + 2);
  });
});

describe('a method is reached by its name', () => {
  testRules(
    () => door,
    [
      {
        rule: 'one without a rule, by POST with JSON',
        send: 'POST /echo.v1.Echo/Plain',
        body: { id: 'x' },
        sees: { id: 'x' },
      },
      { rule: 'one with rules, too', send: 'POST /echo.v1.Echo/Bind', body: {}, sees: {} },
      { rule: 'not by GET', send: 'GET /echo.v1.Echo/Plain', refused: 405, has: { allow: 'OPTIONS, POST' } },
      { rule: 'not one that is not there', send: 'POST /echo.v1.Echo/Nothing', body: {}, refused: 404 },
    ],
  );
});

describe('no method override, ever', () => {
  testRules(
    () => door,
    [
      {
        rule: 'by header',
        send: 'POST /t/5',
        headers: { 'x-http-method-override': 'GET', 'x-http-method': 'GET', 'x-method-override': 'GET' },
        refused: 405,
      },
      { rule: 'by query', send: 'GET /f/1?_method=DELETE', refused: 400, says: /_method/ },
      {
        rule: 'by form',
        send: 'POST /t/5',
        type: 'application/x-www-form-urlencoded',
        body: 'id=6',
        refused: 405,
      },
    ],
  );

  test('GET with the header stays GET', async () => {
    const answer = await door.ask({ send: 'GET /t/5', headers: { 'x-http-method-override': 'PUT' } });
    expect(jsonOf(answer).rpc).toBe('Route');
    expect(answer.status).toBe(200);
  });
});
