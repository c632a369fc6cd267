/** Where a stream goes on, and how long a poll waits, as requests say it. */
import { StringValueSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { hasCursors, readStreamRequest } from '../gateway/http/resume.js';
import { type Method, STREAM_DEFAULTS, type StreamOptions } from '../src/method.js';

interface Shape {
  readonly fields?: readonly (readonly [name: string, jsonName: string])[];
  readonly stream?: Partial<StreamOptions>;
  readonly serverStreaming?: boolean;
}

function methodOf({ fields = [], stream = {}, serverStreaming = true }: Shape = {}): Method {
  const input = { fields: fields.map(([name, jsonName]) => ({ name, jsonName })) };
  return {
    serverStreaming,
    input: input as unknown as Method['input'],
    output: StringValueSchema,
    stream: { ...STREAM_DEFAULTS, ...stream },
  } as unknown as Method;
}

const shared = { stream: { sharing: 'shared' } } as const;
const read = (query: string, shape: Shape = shared, headers: Record<string, string> = {}) =>
  readStreamRequest(headers, methodOf(shape), query);

describe('a method has cursors', () => {
  test.each([
    ['private', { stream: {} }, false],
    ['private, with a position of its own', { stream: { cursorField: 'seq', resumeField: 'after' } }, true],
    ['shared', shared, true],
    ['shared by a node', { stream: { sharing: 'node' } }, true],
    ['no stream', { ...shared, serverStreaming: false }, false],
  ] as const)('%s', (_, shape, has) => {
    expect(hasCursors(methodOf(shape))).toBe(has);
  });
});

describe('what is taken out of the query', () => {
  test('is the cursor and the wait, however they are escaped, and nothing else', () => {
    const { query, resume, wait } = read('a=1&last%5Fevent_id=c%2B7&wait=5s&b=%zz');
    expect(query).toBe('a=1&b=%zz');
    expect(resume).toEqual({ cursor: 'c+7', again: true, finished: false });
    expect(wait).toEqual({ ms: 5000, preferred: false });
  });

  test('is not what the request has a field for, by either name', () => {
    for (const fields of [[['last_event_id', 'lastEventId']], [['lastEventId', 'lastEventId']]] as const) {
      const { query, resume } = read('last_event_id=c7&lastEventId=c8', { ...shared, fields });
      expect(query).toBe('last_event_id=c7&lastEventId=c8');
      expect(resume).toBeUndefined();
    }
    expect(read('wait=5s', { ...shared, fields: [['wait', 'wait']] })).toMatchObject({
      query: 'wait=5s',
      wait: undefined,
    });
  });

  test('is no wait on a stream without cursors', () => {
    expect(read('wait=soon&last_event_id=c7', {})).toMatchObject({
      query: 'wait=soon',
      wait: undefined,
      resume: { cursor: 'c7' },
    });
    expect(read('', {}, { prefer: 'wait=5' }).wait).toBeUndefined();
  });

  test.each(['last_event_id=%zz', 'lastEventId=%c3', 'wait=%zz'])(
    'is refused when malformed: %s',
    (query) => {
      expect(() => read(query)).toThrow(/query parameter "(last_event_id|lastEventId|wait)"/);
    },
  );
});

test('the header wins over the query, unless it is empty', () => {
  expect(read('last_event_id=c1', shared, { 'last-event-id': 'c2' }).resume?.cursor).toBe('c2');
  expect(read('last_event_id=c1', shared, { 'last-event-id': '' }).resume?.cursor).toBe('c1');
  expect(read('last_event_id=', shared).resume).toBeUndefined();
});

test.each([
  ['end', { cursor: undefined, again: true, finished: true }],
  ['none', { cursor: undefined, again: true, finished: false }],
  ['earliest', { cursor: 'earliest', again: false, finished: false }],
  ['now', { cursor: 'now', again: false, finished: false }],
])('%s is a word', (word, resume) => {
  expect(read('', shared, { 'last-event-id': word }).resume).toEqual(resume);
});

test.each([
  ['0', 0],
  ['30', 30_000],
  ['30s', 30_000],
  ['250ms', 250],
  ['2m', 120_000],
])('a wait of %s is %i ms', (text, ms) => {
  expect(read(`wait=${text}`).wait?.ms).toBe(ms);
});
