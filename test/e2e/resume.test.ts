/** Coming back to a stream: at every door, after every kind of interruption that one gateway can see. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { EventSource } from 'eventsource';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type RunningGateway, startGateway, tokenFor } from '../support/gateway.js';
import { type Client, type ClientOptions, type Door, startClient } from '../support/resume/client.js';
import { longPoll } from '../support/resume/poll.js';
import { jsonSocket, protoSocket } from '../support/resume/socket.js';
import { sse } from '../support/resume/sse.js';
import { type Kind, startTicker, TICKER_PROTO, type Ticker, tickerPath } from '../support/ticker.js';
import { check, type Expected } from './properties/check.js';
import type { Happening } from './properties/history.js';

let ticker: Ticker;
let gateway: RunningGateway;
let clients: Client[] = [];
beforeEach(async () => {
  ticker = await startTicker();
  gateway = await startGateway(ticker.address, ['--proto', TICKER_PROTO]);
});
afterEach(async () => {
  for (const client of clients) client.leave();
  clients = [];
  await gateway.close();
  ticker.kill();
});

function start(door: Door, kind: Kind, more: Partial<ClientOptions> = {}): Client {
  const client = startClient({
    name: `${clients.length} ${door.name}`,
    door,
    stream: 'tide',
    path: tickerPath(kind, 'tide'),
    port: () => gateway.port,
    backoffMs: 20,
    ...more,
  });
  clients.push(client);
  return client;
}

const WAIT = { timeout: 10_000, interval: 20 };
/** Until the service has a call: what it says from then on is heard. */
const heard = (calls = 1) => vi.waitFor(() => expect(ticker.running.size).toBe(calls), WAIT);
const reached = (client: Client, n: number) => vi.waitFor(() => expect(client.last()).toBe(n), WAIT);
const kinds = ({ history }: Client) => history.happenings.map(({ kind }) => kind);
const nth = <K extends Happening['kind']>({ history }: Client, kind: K, index: number) =>
  history.happenings.filter((one): one is Happening & { kind: K } => one.kind === kind).at(index);
const sound = (expected?: Expected) =>
  expect(
    check(
      clients.map(({ history }) => history),
      expected,
    ),
  ).toMatchObject({ violations: [] });

describe.each([sse, jsonSocket, protoSocket, longPoll])('$name', (door) => {
  const streams: readonly Kind[] = ['Log', 'Live', 'Private', 'Node'];

  test.each(streams)('a client of Watch%s that is cut goes on behind its last event', async (kind) => {
    const client = start(door, kind);
    await heard();
    for (let round = 1; round <= 5; round++) {
      ticker.publish('tide', 3);
      await reached(client, round * 4 - 1);
      client.cut(round % 2 === 0);
      ticker.publish('tide', 1);
      await reached(client, round * 4);
    }
    sound({ last: 20 });
  });

  test.each(streams)('a client of Watch%s that saw no event goes on where it began', async (kind) => {
    const client = start(door, kind, { backoffMs: 200 });
    // A poll has no place to go on from before its first answer.
    if (door === longPoll) {
      await heard();
      ticker.publish('tide', 1);
    }
    await vi.waitFor(() => expect(client.cursor()).toBeDefined(), WAIT);
    client.cut();
    ticker.publish('tide', 2);
    await reached(client, door === longPoll ? 3 : 2);
    sound();
  });

  test('one call of the service serves all clients of a shared stream, also those that come back', async () => {
    start(sse, 'Log');
    await heard();
    ticker.publish('tide', 2);
    await reached(clients[0] as Client, 2);
    const many = Array.from({ length: 5 }, () => start(door, 'Log', { cursor: 'earliest' }));
    for (const client of many) {
      await reached(client, 2);
      client.cut();
    }
    ticker.publish('tide', 2);
    for (const client of many) await reached(client, 4);
    expect(ticker.calls).toHaveLength(1);
    sound({ last: 4 });
  });

  test('who comes back to a history that has expired is told so, and gets what is left of it', async () => {
    // More than the gateway keeps, and more than it has in memory for those who are a little behind.
    ticker.kill();
    await gateway.close();
    ticker = await startTicker({ padding: 5000 });
    gateway = await startGateway(ticker.address, ['--proto', TICKER_PROTO]);
    const watcher = start(sse, 'Short');
    await heard();
    ticker.publish('tide', 2);
    await reached(watcher, 2);
    const cursor = watcher.cursor() as string;
    ticker.publish('tide', 1500);
    await reached(watcher, 1502);
    const late = start(door, 'Short', { cursor });
    await reached(late, 1502);
    expect(nth(late, 'reset', 0)).toMatchObject({ reason: 'history_truncated' });
    expect(kinds(late).filter((kind) => kind === 'message').length).toBeGreaterThanOrEqual(600);
    sound({
      last: 1502,
      losses: [{ from: 2, to: 902, reasons: ['history_truncated'] }],
    });
  });

  test('a service that lost its call and keeps no history is a new epoch, which everybody is told', async () => {
    const stays = start(door, 'Live');
    const returns = start(door, 'Live', { backoffMs: 2000 });
    await heard();
    ticker.publish('tide', 3);
    await reached(stays, 3);
    await reached(returns, 3);
    returns.cut();
    const port = Number(ticker.address.split(':')[1]);
    ticker.kill();
    ticker = await startTicker({ port });
    ticker.publish('tide', 10);
    await heard();
    ticker.publish('tide', 1);
    await reached(stays, 11);
    await reached(returns, 11);
    for (const client of [stays, returns])
      expect(nth(client, 'reset', 0)).toMatchObject({ reason: 'epoch_changed' });
    sound({ last: 11, losses: [{ from: 10, to: 10, reasons: ['epoch_changed'] }] });
  });

  test('a service that lost its call and keeps its history is asked for the rest, and nobody notices', async () => {
    const client = start(door, 'Log');
    await heard();
    ticker.publish('tide', 3);
    await reached(client, 3);
    const port = Number(ticker.address.split(':')[1]);
    ticker.kill();
    ticker = await startTicker({ port });
    ticker.publish('tide', 10);
    await reached(client, 10);
    expect(ticker.calls[0]).toMatchObject({ after: 3 });
    expect(kinds(client)).not.toContain('reset');
    sound({ last: 10 });
  });

  test('the cursor of another stream is refused, and nothing is told of what it stands for', async () => {
    const first = start(sse, 'Log');
    await heard();
    ticker.publish('tide', 3);
    await reached(first, 3);
    const other = start(door, 'Log', {
      stream: 'ebb',
      path: tickerPath('Log', 'ebb'),
      cursor: first.cursor() as string,
    });
    await heard(2);
    ticker.publish('ebb', 1);
    await reached(other, 1);
    expect(nth(other, 'reset', 0)).toMatchObject({ reason: 'cursor_invalid' });
    sound({ losses: [{ from: 0, to: 3, reasons: ['cursor_invalid'] }] });
  });

  test('the cursor of somebody else is refused, and nothing of his is told', async () => {
    const ann = start(sse, 'Mine', { owner: 'ann', token: tokenFor('ann') });
    await heard();
    ticker.publish('tide', 3);
    await reached(ann, 3);
    const eve = start(door, 'Mine', {
      owner: 'eve',
      token: tokenFor('eve'),
      cursor: ann.cursor() as string,
    });
    await heard(2);
    ticker.publish('tide', 1);
    await reached(eve, 4);
    expect(nth(eve, 'reset', 0)).toMatchObject({ reason: 'scope_changed' });
    // Three events of ann's before, and not one of them among eve's.
    expect(kinds(eve).filter((kind) => kind === 'message')).toHaveLength(1);
    sound({ losses: [{ from: 0, to: 3, reasons: ['scope_changed'] }] });
  });

  test('a cursor that somebody has changed is refused', async () => {
    const first = start(sse, 'Log');
    await heard();
    ticker.publish('tide', 3);
    await reached(first, 3);
    const cursor = first.cursor() as string;
    for (const at of [0, Math.floor(cursor.length / 2), cursor.length - 2]) {
      const changed = `${cursor.slice(0, at)}${cursor[at] === 'A' ? 'B' : 'A'}${cursor.slice(at + 1)}`;
      const forger = start(door, 'Log', { cursor: changed });
      await vi.waitFor(() => expect(kinds(forger)).toContain('reset'), WAIT);
      expect(nth(forger, 'reset', 0)).toMatchObject({ reason: 'cursor_invalid' });
      forger.leave();
    }
  });

  test('earliest is everything that is kept, now is what comes', async () => {
    start(sse, 'Log');
    await heard();
    ticker.publish('tide', 3);
    await vi.waitFor(() => expect(clients[0]?.last()).toBe(3), WAIT);
    const early = start(door, 'Log', { cursor: 'earliest' });
    await reached(early, 3);
    const late = start(door, 'Log', { cursor: 'now' });
    if (door !== longPoll) await vi.waitFor(() => expect(late.connected()).toBe(true), WAIT);
    else await sleep(300);
    ticker.publish('tide', 1);
    await reached(early, 4);
    await reached(late, 4);
    expect(nth(early, 'message', 0)?.event.n).toBe(1);
    expect(nth(late, 'message', 0)?.event.n).toBe(4);
    sound({ last: 4 });
  });
});

test('a connection that is cut after any byte of an event leaves the cursor before it', async () => {
  const watcher = start(sse, 'Log');
  await heard();
  ticker.publish('tide', 2);
  await reached(watcher, 2);
  const begin = nth(watcher, 'open', 0)?.cursor as string;
  const whole = await readBytes(begin, (text) => text.includes('event: caught_up'));
  const from = whole.indexOf('id: ', whole.indexOf('event: open'));
  const to = whole.indexOf('event: caught_up');
  const step = Math.ceil((to - from) / 25);
  for (let at = from; at < to; at += step) {
    const text = whole.slice(0, at);
    // As the client that was cut there would resume: behind the last event that was whole.
    const seen = text.slice(0, text.lastIndexOf('\n\n') + 2);
    const cursor = [...seen.matchAll(/^id: (\S+)$/gm)].at(-1)?.[1] as string;
    const rest = await readBytes(cursor, (all) => all.includes('event: caught_up'));
    const numbers = [...`${seen}${rest}`.matchAll(/^data: \{"n":"(\d+)"/gm)].map(([, n]) => Number(n));
    expect(numbers, `cut after ${at} bytes`).toEqual([1, 2]);
  }
});

/** The text of an event stream that resumes at `cursor`, until `enough` of it has come. */
function readBytes(cursor: string, enough: (text: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(gateway.port, '127.0.0.1', () =>
      // HTTP/1.0, so that there are no chunk sizes between the bytes.
      socket.write(
        `GET ${tickerPath('Log', 'tide')} HTTP/1.0\r\naccept: text/event-stream\r\nlast-event-id: ${cursor}\r\n\r\n`,
      ),
    );
    socket.on('error', reject).on('close', () => reject(new Error(`ended with ${text}`)));
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (!enough(text)) return;
      resolve(text);
      socket.destroy();
    });
  });
}

test('npm eventsource resumes by itself when its connection is cut', async () => {
  const numbers: number[] = [];
  const opened: boolean[] = [];
  const proxy = await startProxy();
  const source = new EventSource(`http://127.0.0.1:${proxy.port}${tickerPath('Log', 'tide')}`);
  source.addEventListener('open', (event) => {
    const { data } = event as unknown as { data?: string };
    if (data !== undefined) opened.push((JSON.parse(data) as { resumed: boolean }).resumed);
  });
  source.addEventListener('message', ({ data }) =>
    numbers.push(Number((JSON.parse(data) as { n: string }).n)),
  );
  try {
    await heard();
    ticker.publish('tide', 3);
    await vi.waitFor(() => expect(numbers).toHaveLength(3), WAIT);
    proxy.cut();
    ticker.publish('tide', 3);
    await vi.waitFor(() => expect(numbers).toHaveLength(6), WAIT);
    expect(numbers).toEqual([1, 2, 3, 4, 5, 6]);
    expect(opened).toEqual([false, true]);
  } finally {
    source.close();
    proxy.close();
  }
});

/** A network in front of the gateway, that can be cut. */
async function startProxy(): Promise<{ readonly port: number; cut(): void; close(): void }> {
  const sockets = new Set<Socket>();
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((client) => {
    const upstream = connect(gateway.port, '127.0.0.1');
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', cut).on('close', () => sockets.delete(socket));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = (): void => {
    server.close();
    cut();
  };
  return { port: (server.address() as AddressInfo).port, cut, close };
}
