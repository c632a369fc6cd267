/** The policy that gives streams positions: what each method declares decides whether a stream is private, resumable or shared. */
import { randomUUID } from 'node:crypto';
import { type Broker, BrokerError, type Logs } from '../broker/broker.js';
import type { Call, Interceptor, Invoke, Message, Reply } from '../call.js';
import type { Method } from '../method.js';
import { Code, StatusError } from '../status.js';
import { type Cursors, createCursors, placeOfToken } from './cursor.js';
import { createFieldAccess } from './field.js';
import { Hub } from './hub.js';
import { locate, tokenOfWish, type Wish } from './locate.js';
import { messagesOf } from './messages.js';
import { type Positions, positionsOf } from './positions.js';
import { openPrivate } from './private.js';
import { type StreamId, streamIdOf } from './stream_id.js';

export interface StreamsOptions {
  /** Where the logs of `shared` streams are, and who makes their calls is agreed. */
  readonly broker: Broker;
  /** The same for `node` streams: a memory broker of this node's own. */
  readonly local: Broker;
  /** At least 32 bytes: signs the cursors. The same for all nodes that shall know each other's. */
  readonly secret: Uint8Array;
  /** A call whose maker is gone is made by another node after this time, in ms. */
  readonly leaseMs: number;
  /** How long the service of a stream may be gone before its clients are told, in ms. */
  readonly patienceMs: number;
}

export interface StreamStats {
  /** Shared streams that run on this node, those whose call this node makes, and their clients. */
  readonly streams: number;
  readonly owned: number;
  readonly clients: number;
}

export interface Streams {
  /** Innermost but for the upstream: what it asks of the service is asked for all clients of a shared stream. */
  readonly intercept: Interceptor;
  readonly stats: () => StreamStats;
  /** Ends all shared streams; their clients are told `error`. */
  close(error: StatusError): void;
}

/** Between looks at slow clients and at leases, in ms; more often where leases are short. */
const TICK_MS = 1_000;

export function createStreams(options: StreamsOptions): Streams {
  const cursors = createCursors(options.secret);
  const node = randomUUID();
  const hubs = new Set<Hub>();
  const ofMethod = new WeakMap<Method, Map<string, Hub>>();
  const timer = setInterval(
    () => {
      const now = Date.now();
      for (const hub of hubs) hub.tick(now);
    },
    Math.min(TICK_MS, options.leaseMs / 4),
  ).unref();

  const begin = (call: Call, invoke: Invoke, asked: Asked): Hub => {
    const { method } = call;
    const known = ofMethod.get(method) ?? new Map<string, Hub>();
    ofMethod.set(method, known);
    const { name } = asked.id;
    const before = known.get(name);
    if (before !== undefined) return before;
    const forget = (over: Hub): void => {
      if (known.get(name) === over) known.delete(name);
    };
    const broker = method.stream.sharing === 'node' ? options.local : options.broker;
    const hub: Hub = new Hub({
      ...asked,
      broker,
      logs: logsOf(broker, method),
      invoke,
      call,
      cursors,
      keyOf: keyOf(method),
      node,
      leaseMs: options.leaseMs,
      patienceMs: options.patienceMs,
      ended: () => forget(hub),
      closed: () => {
        hubs.delete(hub);
        forget(hub);
      },
    });
    hubs.add(hub);
    known.set(name, hub);
    return hub;
  };

  const openShared = async (call: Call, invoke: Invoke, asked: Asked, wish: Wish): Promise<Reply> => {
    const hub = begin(call, invoke, asked);
    hub.expect();
    try {
      await hub.run(tokenOfWish(wish, asked.positions));
      const located = await locate(hub, call, wish);
      call.signal.throwIfAborted();
      const feed = hub.feed(call, located);
      return { headers: hub.headers, messages: messagesOf(feed, call.signal), trailers: () => ({}), feed };
    } catch (thrown) {
      hub.arrived();
      throw thrown;
    }
  };

  const open = async (call: Call, invoke: Invoke, positions: Positions | undefined): Promise<Reply> => {
    const request = await requestOf(call);
    const bare = positions === undefined ? request : positions.without(request);
    const id = streamIdOf(call, bare);
    const wish = wishOf(call.resume, { cursors, id, position: positions?.asked(request) });
    // One without positions is here because it is shared.
    if (positions === undefined || call.method.stream.sharing !== 'private')
      return openShared(call, invoke, { id, request: bare, positions }, wish);
    const { patienceMs } = options;
    return openPrivate({ call, invoke, id, request, positions, cursors, wish, patienceMs });
  };

  return {
    intercept: (next) => (call) => {
      const { serverStreaming, clientStreaming, stream } = call.method;
      if (!serverStreaming || clientStreaming) return next(call);
      const positions = positionsOf(call.method);
      if (positions === undefined && stream.sharing === 'private') return next(call);
      return open(call, next, positions).catch(tellBroker);
    },
    stats: () => ({
      streams: hubs.size,
      owned: [...hubs].filter((hub) => hub.isOwner).length,
      clients: [...hubs].reduce((sum, hub) => sum + hub.clients, 0),
    }),
    close: (error) => {
      clearInterval(timer);
      for (const hub of [...hubs]) hub.close(error);
    },
  };
}

/** What a call asks for, apart from its caller. */
interface Asked {
  readonly id: StreamId;
  /** Without a position. */
  readonly request: Message;
  readonly positions: Positions | undefined;
}

async function requestOf({ requests }: Call): Promise<Message> {
  if (typeof requests === 'function') return requests();
  throw new Error('a method that takes one message got a stream of them');
}

interface WishContext {
  readonly cursors: Cursors;
  readonly id: StreamId;
  /** The position that the request itself asks for. */
  readonly position: Uint8Array | undefined;
}

/** A cursor goes before the position in the request: a client that comes back has got further than when it first asked. */
function wishOf(resume: string | undefined, { cursors, id, position }: WishContext): Wish {
  if (resume === 'now' || resume === 'earliest') return { kind: resume };
  if (resume === undefined || resume === '') {
    if (position === undefined) return { kind: 'now' };
    return { kind: 'place', place: placeOfToken(position) };
  }
  const parsed = cursors.parse(id, resume);
  return typeof parsed === 'string' ? { kind: 'none', reason: parsed } : { kind: 'place', place: parsed };
}

function logsOf(broker: Broker, { name, stream }: Method): Logs {
  return broker.logs(name, stream.retention);
}

function keyOf({ output, stream: { slow } }: Method): (message: Message) => string {
  if (slow.policy !== 'conflate') return () => '';
  // However long a key is: two that are cut to nothing would be the same.
  const { read } = createFieldAccess(output, slow.key, Number.POSITIVE_INFINITY);
  return (message) => Buffer.from(read(message) ?? []).toString('latin1');
}

function tellBroker(thrown: unknown): never {
  if (!(thrown instanceof BrokerError)) throw thrown;
  throw new StatusError(Code.UNAVAILABLE, 'the stream is unavailable', { cause: thrown });
}
