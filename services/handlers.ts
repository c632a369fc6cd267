/** From plain functions and async generators to grpc-js handlers: errors, cancellation, back-pressure and stopping, in one place. */
import type { EventEmitter } from 'node:events';
import type { Writable } from 'node:stream';
import {
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { type Caller, callerOf } from './caller.js';
import { ServiceError, toStatus } from './errors.js';

/** What a method that answers a stream knows of its call besides the requests. Others need to know less. */
export interface Context {
  readonly caller: Caller;
  /**
   * Tells where the stream begins, before it is accepted: the position that a request would name to get the whole stream again. Somebody who
   * sees nothing of it before the connection breaks can then go on there.
   */
  readonly beginsAt: (position: string) => void;
  /** Aborted when the caller leaves or its deadline passes, or the server stops. */
  readonly signal: AbortSignal;
}

/** How much the server has to do. */
export interface Load {
  /** Calls that answer a stream and are open now. */
  readonly streams: number;
  /** Messages ever handed to streams: those of a reader that takes nothing stop at what the buffers on the way hold. */
  readonly messages: number;
}

/** Checks the request and throws, or gives the stream of answers: the call is accepted as soon as it does. */
type Accept<R> = AsyncIterable<R> | Promise<AsyncIterable<R>>;

export interface Handlers {
  readonly unary: <Q, R>(run: (request: Q, caller: Caller) => R | Promise<R>) => handleUnaryCall<Q, R>;
  readonly clientStream: <Q, R>(
    run: (requests: AsyncIterable<Q>, context: Omit<Context, 'beginsAt'>) => Promise<R>,
  ) => handleClientStreamingCall<Q, R>;
  readonly serverStream: <Q, R>(
    run: (request: Q, context: Context) => Accept<R>,
  ) => handleServerStreamingCall<Q, R>;
  readonly bidi: <Q, R>(
    run: (requests: AsyncIterable<Q>, context: Context) => Accept<R>,
  ) => handleBidiStreamingCall<Q, R>;
  readonly load: () => Load;
}

/**
 * `stopping`: aborted, with the error for open streams as its reason, when the server begins to stop. `report` hears of
 * errors that no method threw on purpose; callers see them as INTERNAL without a word of what they are.
 */
export function createHandlers(stopping: AbortSignal, report: (error: unknown) => void): Handlers {
  let streams = 0;
  let messages = 0;

  const fail = (error: unknown) => {
    if (!(error instanceof ServiceError)) report(error);
    return toStatus(error);
  };

  /** Writes messages as fast as the reader takes them and ends the call with OK, or with what went wrong. */
  async function answer<Q, R>(call: StreamCall<Q, R>, run: (context: Context) => Accept<R>): Promise<void> {
    const { signal, release } = lifeOf(call, stopping);
    streams += 1;
    try {
      const headers = new Metadata();
      const beginsAt = (position: string) => headers.set('tidegate-position', position);
      const replies = await run({ caller: callerOf(call.metadata), beginsAt, signal });
      // Headers say that the call is accepted, which on a quiet stream the first message would say much later.
      call.sendMetadata(headers);
      for await (const message of replies) {
        if (signal.aborted) break;
        messages += 1;
        if (!call.write(message)) await drained(call, signal);
      }
      signal.throwIfAborted();
      call.end();
    } catch (error) {
      // What goes wrong after the caller has left is nobody's business.
      if (!call.cancelled) call.emit('error', fail(error));
    } finally {
      streams -= 1;
      release();
    }
  }

  /** Answers one message to a stream of requests. */
  async function conclude<Q, R>(
    call: ServerReadableStream<Q, R>,
    callback: sendUnaryData<R>,
    run: (requests: AsyncIterable<Q>, context: Omit<Context, 'beginsAt'>) => Promise<R>,
  ): Promise<void> {
    const { signal, release } = lifeOf(call, stopping);
    try {
      callback(null, await run(requestsOf(call, signal), { caller: callerOf(call.metadata), signal }));
    } catch (error) {
      if (!call.cancelled) callback(fail(error));
    } finally {
      release();
    }
  }

  return {
    unary: (run) => (call, callback) => {
      const reply = async () => run(call.request, callerOf(call.metadata));
      reply().then(
        (message) => callback(null, message),
        (error) => callback(fail(error)),
      );
    },
    clientStream: (run) => (call, callback) => void conclude(call, callback, run),
    serverStream: (run) => (call) => void answer(call, (context) => run(call.request, context)),
    bidi: (run) => (call) => {
      void answer(call, (context) => run(requestsOf(call, context.signal), context));
    },
    load: () => ({ streams, messages }),
  };
}

type StreamCall<Q, R> = ServerWritableStream<Q, R> | ServerDuplexStream<Q, R>;

/** A signal that is aborted when the caller leaves or the server stops. `release` takes the listeners away again. */
function lifeOf(call: EventEmitter & { cancelled: boolean }, stopping: AbortSignal) {
  const ended = new AbortController();
  const stop = () => ended.abort(stopping.reason);
  const cancel = () => ended.abort();
  stopping.addEventListener('abort', stop);
  call.on('cancelled', cancel);
  // Either may have happened already.
  if (stopping.aborted) stop();
  if (call.cancelled) cancel();
  const release = () => {
    stopping.removeEventListener('abort', stop);
    call.off('cancelled', cancel);
  };
  return { signal: ended.signal, release };
}

/**
 * The requests one by one, read from the network as they are asked for. Throws the signal's reason once it is aborted, for
 * callers that send nothing would be waited for. Leaving the loop does not end the call.
 */
function requestsOf<Q>(
  call: ServerReadableStream<Q, unknown> | ServerDuplexStream<Q, unknown>,
  signal: AbortSignal,
): AsyncIterable<Q> {
  const requests: AsyncIterator<Q> = call.iterator({ destroyOnReturn: false });
  return { [Symbol.asyncIterator]: () => ({ next: () => unlessAborted(signal, requests.next()) }) };
}

async function unlessAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
  });
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Resolves when the call takes messages again, or will never again. */
function drained(call: Writable, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      call.off('drain', done);
      call.off('close', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    call.on('drain', done);
    call.on('close', done);
    signal.addEventListener('abort', done);
  });
}
