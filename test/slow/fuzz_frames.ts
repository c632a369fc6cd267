/**
 * Throws a million WebSocket messages, most of them bad, at the readers of both encodings of frames, and handshakes at theirs: see fuzz_runner.ts.
 *
 * A message becomes frames that a client may send, each of which is the same again when it is written and read once more, or one FrameFault with a close code and
 * a short reason. `npm run fuzz:frames [-- INPUTS [SEED]]`
 */
import type { IncomingMessage } from 'node:http';
import { Close, closeOfThrown, FrameFault } from '../../gateway/doors/ws_close.js';
import { type ClientFrame, type Framing, SHAPES } from '../../gateway/doors/ws_frames.js';
import { checkHandshake, checkOrigin, readOffer } from '../../gateway/doors/ws_handshake.js';
import { createJsonFraming } from '../../gateway/doors/ws_json.js';
import { encodeFrame, PROTO_FRAMING } from '../../gateway/doors/ws_proto.js';
import { Code, StatusError } from '../../src/status.js';
import { runFuzz, type Target } from './fuzz_runner.js';
import { damaged, damagedBytes, type Random, soup } from './random.js';

const JSON_FRAMING = createJsonFraming((status) => JSON.stringify(status));
const CLIENT = SHAPES.filter(({ sentBy }) => sentBy !== 'server');
const SENT = new Map(CLIENT.map((shape) => [shape.type, shape]));
const CODES: ReadonlySet<number> = new Set(Object.values(Close));
const MOST = { sid: 2 ** 32 - 1, count: 2 ** 32 - 1, seq: Number.MAX_SAFE_INTEGER, uint32: 2 ** 32 - 1 };

type Made = { readonly type: string } & Readonly<Record<string, unknown>>;

const TEXTS = [
  '',
  'a',
  'orders.v1.OrdersService/Get',
  'GET /v1/orders/1',
  'Ω€\u{1f600}',
  '__proto__',
  'x\u0000',
];
const number = (random: Random): number =>
  random.pick([
    1,
    2,
    127,
    128,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 53 - 1,
    random.chance(0.1) ? 0 : 1 + random.below(1000),
  ]);
const text = (random: Random): string => random.pick(TEXTS);

/** A frame of either side, mostly one that a client may send, mostly with all fields that it has to have. */
function frameOf(random: Random, payload: (random: Random) => unknown): Made {
  const shape = random.pick(random.chance(0.95) ? CLIENT : SHAPES);
  const frame: Record<string, unknown> & { type: string } = { type: shape.type };
  for (const { name, kind, optional } of shape.fields) {
    if (random.chance(optional === undefined ? 0.02 : 0.5)) continue;
    if (kind === 'string') frame[name] = text(random);
    else if (kind === 'strings') frame[name] = Array.from({ length: random.below(4) }, () => text(random));
    else if (kind === 'payload') frame[name] = payload(random);
    else if (kind === 'metadata') frame[name] = { [text(random)]: random.pick(['v', ['v', 'w'], []]) };
    else if (kind === 'bool') frame[name] = true;
    else if (kind === 'limits')
      frame[name] = { frame_bytes: 1, streams: 1, queued_messages: 1, queued_bytes: 1 };
    else if (kind === 'status') frame[name] = { code: 5, message: text(random), details: [] };
    else
      frame[name] = Math.min(number(random), (MOST as Readonly<Record<string, number>>)[kind] ?? 2 ** 53 - 1);
  }
  return frame;
}

/** Throws Error for what no client may send. */
function check(frame: ClientFrame): void {
  const shape = SENT.get(frame.type);
  if (shape === undefined) throw new Error(`read a frame ${frame.type}`);
  const values = frame as unknown as Readonly<Record<string, unknown>>;
  for (const { name, kind, optional } of shape.fields) {
    const value = values[name];
    if (value === undefined && (optional !== undefined || kind === 'payload')) continue;
    const isRight =
      kind === 'string'
        ? typeof value === 'string'
        : kind === 'strings'
          ? Array.isArray(value) && value.every((one) => typeof one === 'string')
          : kind === 'metadata'
            ? Object.values(value as object).every((one) => typeof one === 'string' || Array.isArray(one))
            : kind === 'payload' || isInteger(value, kind);
    if (!isRight) throw new Error(`read ${frame.type}.${name} as ${String(value)}`);
  }
}

function isInteger(value: unknown, kind: string): boolean {
  const most = (MOST as Readonly<Record<string, number>>)[kind] ?? 0;
  return (
    Number.isInteger(value) && (value as number) >= (kind === 'uint32' ? 0 : 1) && (value as number) <= most
  );
}

/** To be compared: without undefined fields, in one order, and with bytes as text. `JSON.stringify` alone asks a Buffer for its own JSON first. */
function shown(value: unknown): string {
  if (value instanceof Uint8Array) return `<${Buffer.from(value).toString('hex')}>`;
  if (Array.isArray(value)) return `[${value.map(shown).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value)
    .filter(([, one]) => one !== undefined)
    .sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${fields.map(([name, one]) => `${JSON.stringify(name)}:${shown(one)}`).join()}}`;
}

/** Reads a message, and what is in it once more. */
function take(
  framing: Framing,
  data: string | Uint8Array,
  print: (frame: ClientFrame) => string | Uint8Array,
) {
  for (const frame of framing.decode(data)) {
    check(frame);
    const [again, more] = [...framing.decode(print(frame))];
    if (again === undefined || more !== undefined)
      throw new Error('one frame is not one when it is read again');
    if (shown(again) !== shown(frame))
      throw new Error(`${shown(frame)} is ${shown(again)} when it is read again`);
  }
}

const JSON_SOUP = [
  '{',
  '}',
  '[',
  ']',
  '"type"',
  ':',
  ',',
  '"open"',
  '"sid"',
  '1',
  '-1',
  '1e99',
  'null',
  '\n',
  '"',
  '\\u0000',
  '\\ud800',
  '"headers"',
  '{}',
];
const PAYLOADS = [null, 0, '', {}, [], { a: [{ b: 'c' }] }, 1e300, true];

function takeJson(random: Random): void {
  const lines = Array.from({ length: 1 + random.below(3) }, () =>
    JSON.stringify(frameOf(random, (r) => r.pick(PAYLOADS))),
  );
  take(JSON_FRAMING, damaged(random, lines.join('\n'), JSON_SOUP), (frame) => JSON.stringify(frame));
}

function takeJsonSoup(random: Random): void {
  const nested = random.chance(0.001) ? random.pick(['[', '{"a":']).repeat(random.below(30_000)) : '';
  take(JSON_FRAMING, nested + soup(random, JSON_SOUP, 40), (frame) => JSON.stringify(frame));
}

function takeProto(random: Random): void {
  const bytes = Array.from({ length: 1 + random.below(3) }, () =>
    encodeFrame(frameOf(random, (r) => Buffer.from(Array.from({ length: r.below(20) }, () => r.below(256))))),
  );
  take(PROTO_FRAMING, damagedBytes(random, Buffer.concat(bytes)), encodeFrame);
}

function takeBytes(random: Random): void {
  const length = random.chance(0.001) ? random.below(65_536) : random.below(60);
  // Small numbers are tags and lengths.
  const most = random.pick([4, 32, 256]);
  take(PROTO_FRAMING, Buffer.from(Array.from({ length }, () => random.below(most))), encodeFrame);
}

function takeWrongKind(random: Random): void {
  const expected = random.chance(0.5)
    ? () => [...JSON_FRAMING.decode(Buffer.from(soup(random, JSON_SOUP, 20)))]
    : () => [...PROTO_FRAMING.decode(soup(random, JSON_SOUP, 20))];
  expected();
  throw new Error('a message of the wrong kind was read');
}

const OFFERS = [
  'tidegate.v1.json',
  'tidegate.v1.proto',
  'bearer.',
  'YS5iLmM',
  ',',
  ' ',
  '=',
  ';',
  'é',
  '\t',
  'x',
];
const OFFERED = ['tidegate.v1.json', 'tidegate.v1.proto, bearer.YS5iLmM', 'bearer.YQ', 'other'];
const ORIGINS = [
  'https://',
  'http://',
  'a.example',
  'null',
  ':443',
  ':',
  '/',
  '@',
  '[::1]',
  'evil.example',
  '\\',
  '*',
];

function takeHandshake(random: Random): void {
  const maybe = (value: string, pieces: readonly string[]) =>
    random.chance(0.2) ? damaged(random, value, pieces) : value;
  const request = {
    method: random.chance(0.95) ? 'GET' : 'POST',
    socket: {},
    headers: {
      host: 'a.example',
      upgrade: maybe('websocket', OFFERS),
      'sec-websocket-version': random.pick(['13', '13', '13', '8', '']),
      'sec-websocket-key': random.chance(0.9)
        ? 'dGhlIHNhbXBsZSBub25jZQ=='
        : maybe('dGhlIHNhbXBsZSBub25jZQ==', OFFERS),
      'sec-websocket-protocol':
        maybe(random.pick(OFFERED), OFFERS) + (random.chance(0.3) ? soup(random, OFFERS, 6) : ''),
      ...(random.chance(0.7) && {
        origin: random.pick(['https://a.example', 'https://b.example', soup(random, ORIGINS, 4)]),
      }),
    },
  } as unknown as IncomingMessage;
  checkHandshake(request);
  checkOrigin(request, { origins: ['https://b.example'], trustedHops: 0 });
  const { origin } = request.headers;
  if (origin !== undefined && !/^(https?:[\\/]*(.*@)?a\.example|https:\/\/b\.example)/i.test(origin))
    throw new Error(`a page of ${origin} may open WebSockets`);
  const { token, protocol } = readOffer(request, random.chance(0.5));
  const offered = request.headers['sec-websocket-protocol'] as string;
  if (protocol !== undefined && !offered.includes(protocol)) throw new Error(`${protocol} was not offered`);
  if (token !== undefined && !offered.includes('bearer.')) throw new Error('a token out of nothing');
}

const isFault = (thrown: unknown): boolean => {
  if (!(thrown instanceof FrameFault) || !CODES.has(thrown.code)) return false;
  return Buffer.byteLength(closeOfThrown(thrown).reason) <= 123;
};
const REFUSALS: ReadonlySet<Code> = new Set([
  Code.INVALID_ARGUMENT,
  Code.PERMISSION_DENIED,
  Code.UNAUTHENTICATED,
]);
const isRefusal = (thrown: unknown): boolean =>
  thrown instanceof StatusError && REFUSALS.has(thrown.code) && thrown.message.length < 300;

const TARGETS: readonly Target[] = [
  { name: 'JSON', share: 30, run: takeJson, refuses: isFault },
  { name: 'JSON soup', share: 10, run: takeJsonSoup, refuses: isFault },
  { name: 'protobuf', share: 40, run: takeProto, refuses: isFault },
  { name: 'bytes', share: 8, run: takeBytes, refuses: isFault },
  {
    name: 'wrong kind',
    share: 2,
    run: takeWrongKind,
    refuses: (thrown) => thrown instanceof FrameFault && thrown.code === Close.KIND_WRONG,
  },
  { name: 'handshakes', share: 10, run: takeHandshake, refuses: isRefusal },
];

await runFuzz({ url: import.meta.url, prepare: () => Promise.resolve({ targets: TARGETS }) });
