/** The clients of the proofs, on a stage: what happens to them is what they write down, and the checker finds what is wrong with it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Client, type Door, startClient } from '../../support/resume/client.js';
import { createEventStreamParser } from '../../support/resume/event_stream.js';
import { jsonSocket, protoSocket } from '../../support/resume/socket.js';
import { sse } from '../../support/resume/sse.js';
import { check, type Property } from './check.js';
import { type Defect, openStage, type Stage } from './stage.js';

let stage: Stage;
let clients: Client[] = [];
beforeEach(async () => {
  stage = await openStage('s');
});
afterEach(() => {
  for (const client of clients) client.leave();
  clients = [];
  stage.close();
});

function start(door: Door, name = 'a'): Client {
  const client = startClient({
    name,
    door,
    stream: 's',
    path: '/',
    port: () => stage.port,
    backoffMs: 5,
  });
  clients.push(client);
  return client;
}

const connected = () => vi.waitFor(() => expect(clients.every((client) => client.connected())).toBe(true));
const allAt = (n: number) =>
  vi.waitFor(() => expect(clients.map((client) => client.last())).toEqual(clients.map(() => n)), {
    timeout: 5000,
  });
const histories = () => clients.map(({ history }) => history);

/** Publishes, cuts and waits, for a client that comes back often. */
async function play(): Promise<void> {
  await connected();
  for (let round = 0; round < 8; round++) {
    stage.publish(4);
    await sleep(10);
    stage.bookmark();
    for (const client of clients) client.cut(round % 2 === 0);
    stage.publish(1);
    await sleep(20);
  }
  await connected();
}

describe.each([sse, jsonSocket, protoSocket])('$name', (door) => {
  test('a client that is cut again and again misses nothing and gets nothing twice', async () => {
    start(door);
    start(door, 'b');
    await play();
    stage.publish(1);
    await allAt(41);
    const result = check(histories(), { last: 41 });
    expect(result).toMatchObject({ violations: [], delivered: 82, repeated: 0, lost: 0, doubled: 0 });
    expect(result.connections).toBeGreaterThan(8);
  });

  test('a client that saw no event resumes where it opened', async () => {
    const client = start(door);
    await connected();
    client.cut();
    stage.publish(2);
    await allAt(2);
    const [, second] = client.history.happenings.filter(({ kind }) => kind === 'connect');
    expect(second).toMatchObject({ cursor: '1-0' });
    expect(check(histories()).violations).toEqual([]);
  });

  test('a lost history is a reset, which is a violation unless it was to be expected', async () => {
    const client = start(door);
    await connected();
    stage.publish(3);
    await allAt(3);
    stage.forget();
    await vi.waitFor(() => expect(client.history.happenings.at(-1)?.kind).toBe('reset'));
    stage.publish(1);
    await allAt(7);
    expect(check(histories()).violations).toMatchObject([{ property: 'reset' }]);
    const losses = [{ from: 3, to: 6, reasons: ['epoch_changed'] as const }];
    expect(check(histories(), { losses, last: 7 })).toMatchObject({ violations: [], skipped: 3 });
  });

  const defects: readonly [Defect, Property][] = [
    ['skips', 'suffix'],
    ['repeats', 'suffix'],
    ['drops', 'hole'],
    ['runs ahead', 'bookmark'],
    ['confuses', 'foreign'],
    ['cries wolf', 'reset'],
  ];
  test.each(defects)('a server that %s is found out', async (defect, property) => {
    stage.defect = defect;
    start(door);
    await play();
    stage.publish(2);
    await sleep(20);
    expect(check(histories()).violations.map((violation) => violation.property)).toContain(property);
  });

  test('a server that conceals a loss is found out', async () => {
    stage.defect = 'conceals';
    const client = start(door);
    await connected();
    stage.publish(3);
    await allAt(3);
    stage.forget();
    await vi.waitFor(() =>
      expect(client.history.happenings.filter(({ kind }) => kind === 'open')).toHaveLength(2),
    );
    stage.publish(1);
    await allAt(7);
    expect(check(histories()).violations.map(({ property }) => property)).toContain('silence');
  });
});

describe('the parser of event streams', () => {
  const parse = (...pieces: string[]) => {
    const parser = createEventStreamParser();
    return pieces.flatMap((piece) => parser.push(piece));
  };
  const item = { event: 'message', data: '', id: undefined, retry: undefined };

  test('takes fields in any order, with and without a space, and every line end', () => {
    expect(parse('data:a\rid: 1\r\nevent:x\ndata:  b\n\n')).toEqual([
      { event: 'x', data: 'a\n b', id: '1', retry: undefined },
    ]);
  });

  test('takes pieces that end anywhere', () => {
    const text = '\uFEFFretry: 20\nevent: open\nid: 7\ndata: {}\r\n\r\n: hb\n\ndata\n\n';
    for (let at = 0; at <= text.length; at++) {
      expect(parse(text.slice(0, at), text.slice(at)), `cut at ${at}`).toEqual([
        { event: 'open', data: '{}', id: '7', retry: 20 },
        { event: '', data: ' hb', id: undefined, retry: undefined },
        item,
      ]);
    }
  });

  test('gives nothing of half an event, and no id of an event without data', () => {
    expect(parse('id: 1\ndata: a\n')).toEqual([]);
    expect(parse('id: 1\n\ndata: a\n\n')).toEqual([{ ...item, data: 'a' }]);
    expect(parse('id: 1\0\ndata: a\n\n')).toEqual([{ ...item, data: 'a' }]);
  });
});
