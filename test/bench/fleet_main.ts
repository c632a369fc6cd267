/** A fleet of clients on raw sockets, which cost so little that the server is what is measured: the child's side of fleet.ts. */
import { connect, type Socket } from 'node:net';
import type { FleetOptions, Order, Return, Sample } from './fleet.js';
import { percentile } from './load.js';

const options = JSON.parse(process.argv[2] as string) as FleetOptions;
const MARKER = Buffer.from(options.marker ?? '"stream":');
const CAUGHT_UP = Buffer.from('caught_up');
const SENT = /"sent":"(\d+)"/g;
const CURSOR = options.speech === 'sse' ? /\nid: ?([\x21-\x7e]+)\n/g : /"cursor":"([\x21-\x7e]+?)"/g;
/** Connections that are being opened at a time, unless all come back at once. */
const OPENING = 100;
/** Of the latencies only so many are kept. */
const LATENCIES = 1_000_000;

interface Member {
  socket: Socket | undefined;
  /** The end of what has come, for what is cut by a packet. */
  rest: Buffer;
  cursor: string | undefined;
  readonly stalls: boolean;
}

const members: Member[] = Array.from({ length: options.clients }, (_, index) => ({
  socket: undefined,
  rest: Buffer.alloc(0),
  cursor: options.cursor,
  stalls: index < (options.stalled ?? 0),
}));
let events = 0;
let bytes = 0;
let open = 0;
let latencies: number[] = [];

const nowMicros = (): number => (performance.timeOrigin + performance.now()) * 1000;

function requestOf({ cursor }: Member): string {
  const { speech, port, path } = options;
  const target =
    speech === 'frames' ? '/ws' : speech === 'socket.io' ? '/socket.io/?EIO=4&transport=websocket' : path;
  const lines = [`GET ${target} HTTP/1.1`, `host: 127.0.0.1:${port}`];
  if (speech === 'sse') lines.push('accept: text/event-stream');
  else {
    lines.push('connection: Upgrade', 'upgrade: websocket', 'sec-websocket-version: 13');
    lines.push('sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==');
    if (speech === 'frames') lines.push('sec-websocket-protocol: tidegate.v1.json');
  }
  if (cursor !== undefined && speech !== 'frames') lines.push(`last-event-id: ${cursor}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

/** A text frame of a client; its mask is zero, so that the text stays as it is. */
function frame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const head = length < 126 ? [0x81, 0x80 | length] : [0x81, 0x80 | 126, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), Buffer.from(text)]);
}

/** What a client says once it is connected. */
function greet({ cursor }: Member, socket: Socket): void {
  if (options.speech === 'socket.io') socket.write(frame('40'));
  if (options.speech !== 'frames') return;
  const call = {
    type: 'open',
    sid: 1,
    route: `GET ${options.path}`,
    ...(cursor === undefined ? {} : { cursor }),
  };
  socket.write(frame(JSON.stringify({ type: 'hello', features: ['resume'] })));
  socket.write(frame(JSON.stringify(call)));
}

interface Times {
  opened: number;
  caughtUp: number;
}

/** Connects one client. Resolves when its answer has begun; with `replayed`, when its replay is done. */
function join(member: Member, replayed = false): Promise<Times> {
  const start = performance.now();
  const times: Times = { opened: 0, caughtUp: 0 };
  return new Promise((resolve, reject) => {
    const socket = connect(options.port, '127.0.0.1');
    member.socket = socket;
    member.rest = Buffer.alloc(0);
    socket.setNoDelay(true);
    socket.on('connect', () => socket.write(requestOf(member)));
    socket.on('error', reject).on('close', () => {
      if (times.opened > 0) open--;
      reject(new Error('a connection was closed before it was of use'));
    });
    socket.on('data', (chunk: Buffer) => {
      if (times.opened === 0) {
        const status = chunk.toString('latin1', 0, 12);
        if (status !== 'HTTP/1.1 200' && status !== 'HTTP/1.1 101') {
          reject(new Error(`a client got ${chunk.toString('latin1', 0, 200)}`));
          return;
        }
        times.opened = performance.now() - start;
        open++;
        greet(member, socket);
        if (member.stalls) socket.pause();
        if (!replayed) resolve(times);
      }
      const text = read(member, chunk);
      if (replayed && times.caughtUp === 0 && text.includes(CAUGHT_UP)) {
        times.caughtUp = performance.now() - start;
        resolve(times);
      }
    });
  });
}

/** Counts what has come. Answers the bytes, those included that were left over from before. */
function read(member: Member, chunk: Buffer): Buffer {
  bytes += chunk.length;
  const all = member.rest.length === 0 ? chunk : Buffer.concat([member.rest, chunk]);
  let end = 0;
  for (let at = all.indexOf(MARKER); at >= 0; at = all.indexOf(MARKER, end)) {
    events++;
    end = at + MARKER.length;
  }
  if (options.latencies === true && latencies.length < LATENCIES) {
    const now = nowMicros();
    for (const [, sent] of chunk.toString('latin1').matchAll(SENT))
      latencies.push((now - Number(sent)) / 1000);
  }
  // What a packet has cut is seen again with the next one; what was counted is not.
  const kept = options.cursors === true ? 300 : MARKER.length - 1;
  if (options.cursors === true) {
    for (const [, cursor] of all.toString('latin1').matchAll(CURSOR)) member.cursor = cursor;
  }
  member.rest = Buffer.from(all.subarray(Math.max(end, all.length - kept)));
  return all;
}

async function openAll(): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let member = members[next++]; member !== undefined; member = members[next++]) await join(member);
  };
  await Promise.all(Array.from({ length: OPENING }, worker));
}

const spread = (values: readonly number[]) => ({
  p50: percentile(values, 0.5),
  p99: percentile(values, 0.99),
  max: percentile(values, 1),
});

function sample(): Sample {
  const taken = { events, bytes, open, latency: spread(latencies) };
  events = 0;
  bytes = 0;
  latencies = [];
  return taken;
}

async function leave(): Promise<void> {
  for (const { socket } of members) socket?.destroy();
  while (open > 0) await new Promise((resolve) => setTimeout(resolve, 10));
}

async function comeBack(): Promise<Return> {
  const times = await Promise.all(members.map((member) => join(member, true)));
  return {
    opened: spread(times.map(({ opened }) => opened)),
    caughtUp: spread(times.map(({ caughtUp }) => caughtUp)),
  };
}

const ORDERS: Readonly<Record<Order, () => unknown>> = {
  open: openAll,
  sample,
  leave,
  'come back': comeBack,
};

process.on('message', async (order: Order) => {
  try {
    process.send?.({ value: await ORDERS[order]() });
  } catch (error) {
    process.send?.({ error: String(error) });
  }
});
process.on('disconnect', () => process.exit(0));
