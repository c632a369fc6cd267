/** Streams over HTTP, rule by rule: which format, how they end, and how a client sends one. */
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Door, jsonOf, requestIn, startDoor } from './rules.js';

let door: Door;
beforeAll(async () => {
  door = await startDoor('--body-limit', '1KiB');
});
afterAll(() => door.close());

const three = [{ number: 1 }, { number: 2 }, { number: 3 }];
const lines = (text: string): unknown[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);
const stream = (query: string, accept?: string) =>
  door.ask({ send: `GET /stream?${query}`, headers: accept === undefined ? {} : { accept } });

describe('the format is chosen by Accept with q-values', () => {
  test.each([
    ['application/x-ndjson', 'application/x-ndjson'],
    ['application/jsonl', 'application/jsonl'],
    ['application/json', 'application/json'],
    ['text/event-stream', 'text/event-stream'],
    ['text/event-stream;q=0.5, application/json', 'application/json'],
    ['text/event-stream;q=0, application/json;q=0.1', 'application/json'],
    ['application/json;q=0.5, text/event-stream;q=0.6', 'text/event-stream'],
    ['*/*', 'application/x-ndjson'],
    [undefined, 'application/x-ndjson'],
  ])('%s is %s', async (accept, type) => {
    const answer = await stream('count=1', accept);
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']?.split(';')[0]).toBe(type);
    expect(answer.headers['content-length']).toBeUndefined();
  });

  test('a method that answers once is no stream, whatever is accepted', async () => {
    const answer = await door.ask({ send: 'GET /t/5', headers: { accept: 'text/event-stream' } });
    expect(answer.headers['content-type']).toBe('application/json');
  });
});

describe('a stream that ends well', () => {
  test('NDJSON: one bare message a line', async () => {
    const { text, complete } = await stream('count=3', 'application/x-ndjson');
    expect([text, complete]).toEqual(['{"number":1}\n{"number":2}\n{"number":3}\n', true]);
  });

  test('application/json: one array', async () => {
    const { text, complete } = await stream('count=3', 'application/json');
    expect([JSON.parse(text), complete]).toEqual([three, true]);
  });

  test('of no messages: no line, an empty array', async () => {
    expect((await stream('', 'application/x-ndjson')).text).toBe('');
    expect((await stream('', 'application/json')).text).toBe('[]');
  });

  test('SSE: a message event each, then the end', async () => {
    const { text } = await stream('count=3', 'text/event-stream');
    expect(text.match(/^data: ?\{"number":\d\}$/gm)?.length).toBe(3);
    expect(text).toMatch(/^event: ?end$/m);
  });
});

describe('a stream that is refused before its first message is an HTTP status', () => {
  test.each(['application/x-ndjson', 'application/json', 'text/event-stream'])('%s', async (accept) => {
    const answer = await stream('code=7', accept);
    expect([answer.status, answer.headers['content-type']]).toEqual([403, 'application/json']);
    expect(jsonOf(answer)).toMatchObject({ code: 7, message: 'the service gave up' });
    const bad = await stream('count=x', accept);
    expect([bad.status, jsonOf(bad).code]).toEqual([400, 3]);
  });
});

describe('a stream that fails later is never mistaken for a complete one', () => {
  test('NDJSON: a last line says how', async () => {
    const { status, text } = await stream('count=3&code=9', 'application/x-ndjson');
    expect(status).toBe(200);
    expect(lines(text)).toMatchObject([...three, { error: { code: 9, message: 'the service gave up' } }]);
  });

  test('array: the connection is cut before the closing bracket', async () => {
    const { text, complete } = await stream('count=3&code=9', 'application/json');
    expect(complete).toBe(false);
    expect(text.trimEnd().endsWith(']')).toBe(false);
    expect(() => JSON.parse(text) as unknown).toThrow();
  });

  test('SSE: its end event says how', async () => {
    const { text } = await stream('count=3&code=9', 'text/event-stream');
    expect(text).toMatch(/the service gave up/);
  });
});

describe('a client stream is read message by message', () => {
  test.each([
    ['NDJSON', 'application/x-ndjson', '{"number":1}\n{"number":2}\r\n\n{"number":3}'],
    ['values one after another', 'application/json', '{"number":1} {"number":2}{"number":3}'],
    ['a JSON array', 'application/json', '[{"number":1},{"number":2} ,\n{"number":3}]'],
    ['a JSON array as NDJSON', 'application/x-ndjson', ' [{"number":1},{"number":2},{"number":3}] '],
  ])('%s', async (_, type, body) => {
    expect(requestIn(await door.ask({ send: 'POST /collect', type, body }))).toEqual(three);
  });

  test.each(['', '[]', '\n\n'])('no messages: %j', async (body) => {
    expect(requestIn(await door.ask({ send: 'POST /collect', body }))).toEqual([]);
  });

  test('never the whole body at once: the limit is for a message', async () => {
    const body = Array.from({ length: 100 }, () => JSON.stringify({ id: 'x'.repeat(100) })).join('\n');
    expect((requestIn(await door.ask({ send: 'POST /collect', body })) as unknown[]).length).toBe(100);
    const long = await door.ask({ send: 'POST /collect', body: `{}\n{"id":"${'x'.repeat(2000)}"}` });
    expect([long.status, jsonOf(long).message]).toEqual([413, expect.stringContaining('message 2')]);
  });

  test.each([
    ['a broken message', '{}\n{"number":x}\n{}', /^message 2: body: invalid JSON/],
    ['a message of the wrong type', '[{},{"number":"x"}]', /^message 2: body \/number/],
    ['an array that is not closed', '[{},{}', /not closed \(after message \d\)/],
    ['a value that is not closed', '{}\n{"id":"x', /ends inside a value/],
    ['something behind the array', '[{}] {}', /something follows the array/],
    ['a missing element', '[{},,{}]', /element of the array is missing/],
    ['an array within the array', '[[{}]]', /^message 1: body: expected an object/],
  ])('%s', async (_, body, says) => {
    const answer = await door.ask({ send: 'POST /collect', body });
    expect([answer.status, jsonOf(answer).code]).toEqual([400, 3]);
    expect(jsonOf(answer).message).toMatch(says);
  });

  test('a content type that is no JSON', async () => {
    const answer = await door.ask({ send: 'POST /collect', type: 'text/csv', body: 'a,b' });
    expect([answer.status, answer.headers['accept-post']]).toEqual([
      415,
      expect.stringContaining('application/json'),
    ]);
  });
});

describe('bidi', () => {
  test('over HTTP/1.1 it is half duplex: the replies of what was sent', async () => {
    const body = three.map((each) => JSON.stringify(each)).join('\n');
    const answer = await door.ask({ send: 'POST /talk', type: 'application/x-ndjson', body });
    expect(lines(answer.text)).toEqual(three);
  });

  test('a message that is broken ends it with its place', async () => {
    const answer = await door.ask({ send: 'POST /talk', body: '{"number":"x"}' });
    expect([answer.status, jsonOf(answer).message]).toEqual([
      400,
      expect.stringMatching(/^message 1: body \/number/),
    ]);
  });
});

test('a client that leaves a stream cancels its call within a second', async () => {
  const leaving = request({
    host: '127.0.0.1',
    port: door.port,
    method: 'POST',
    path: '/talk',
    agent: false,
  });
  leaving.on('error', () => undefined);
  const [calls, before] = [door.service.reached.length, door.service.cancelled.length];
  leaving.write('{"number":1}\n');
  await vi.waitFor(() => expect(door.service.reached.length).toBe(calls + 1), { interval: 10 });
  const left = Date.now();
  leaving.destroy();
  await vi.waitFor(() => expect(door.service.cancelled.length).toBe(before + 1), {
    timeout: 1500,
    interval: 10,
  });
  expect(Date.now() - left).toBeLessThan(1000);
});
