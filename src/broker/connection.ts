/**
 * One connection to a server that is made again whenever it fails. A client is used for one connection only: nothing waits in it for the next one, and
 * what is asked while there is none rejects at once.
 */
import { BrokerError } from './broker.js';
import { within } from './within.js';

/** A connection that is being made. */
export interface Dialed<C> {
  /** Resolves when it can be used. */
  readonly client: Promise<C>;
  /** Ends it, whether it has been made or not. */
  destroy(): void;
}

export interface ConnectionOptions<C> {
  /** The URL without its password, for errors. */
  readonly shown: string;
  /** How long a call may take. */
  readonly callMs: number;
  /** `failed` is called when it breaks, before or after it was made; whatever is said of a connection that has ended is ignored. */
  dial(failed: (error: unknown) => void): Dialed<C>;
  /** Resolves when the server has answered. */
  ping(client: C): Promise<unknown>;
  /** What no waiting cures: a password, a version. */
  isRefusal(error: unknown): boolean;
  /** What a server says that is not the one to talk to now, though it answers. Default: nothing. */
  isElsewhere?(error: unknown): boolean;
  /** What `use` rejects with as it is; all else becomes a BrokerError. Default: nothing. */
  passes?(error: unknown): boolean;
  /** Connected, or no longer. */
  changed(connected: boolean): void;
}

export interface Connection<C> {
  readonly connected: () => boolean;
  /** What is done with the client, within the time of a call. Rejects with BrokerError. */
  use<T>(what: string, work: (client: C) => Promise<T>): Promise<T>;
  /** Rejects if no connection will ever be made: the server refuses us. Resolves at the first connection. */
  readonly first: Promise<void>;
  close(): void;
}

const RETRY_MS = 100;
const RETRY_AT_MOST_MS = 2000;
/** The server is asked this often in the time of a call whether it is there; when all of them stay unanswered, it is not. */
const BEATS = 3;

interface Attempt<C> extends Dialed<C> {
  /** Once it is made. */
  ready: C | undefined;
}

export function keepConnected<C>(options: ConnectionOptions<C>): Connection<C> {
  const { shown, callMs } = options;
  let attempt: Attempt<C> | undefined;
  let closed = false;
  let failures = 0;
  let retry: NodeJS.Timeout | undefined;
  let reason: unknown = new Error('not yet connected');
  let connectedOnce = (): void => {};
  let refused = (_: BrokerError): void => {};
  const first = new Promise<void>((resolve, reject) => {
    connectedOnce = resolve;
    refused = reject;
  });
  first.catch(() => {});

  const fail = (failed: Attempt<C>, error: unknown): void => {
    if (failed !== attempt) return;
    attempt = undefined;
    reason = error;
    failed.destroy();
    if (options.isRefusal(error)) {
      refused(new BrokerError(`${shown}: ${messageOf(error)}`, { cause: error }));
    }
    const delay = Math.min(RETRY_MS * 2 ** failures++, RETRY_AT_MOST_MS);
    if (!closed) retry = setTimeout(open, delay * (0.5 + Math.random() / 2));
    if (failed.ready !== undefined) options.changed(false);
  };

  function open(): void {
    // What fails while it is dialed is told by the promise as well.
    const dialed = options.dial((error) => fail(opened, error));
    const opened: Attempt<C> = { ...dialed, ready: undefined };
    attempt = opened;
    within(callMs, 'connecting', dialed.client).then(
      (client) => {
        if (opened !== attempt) return;
        opened.ready = client;
        failures = 0;
        options.changed(true);
        connectedOnce();
      },
      (error) => fail(opened, error),
    );
  }

  let beating: Attempt<C> | undefined;
  let missed = 0;
  const heartbeat = setInterval(() => {
    if (attempt?.ready === undefined) return;
    if (beating === attempt) {
      if (++missed >= BEATS) fail(attempt, new Error(`no answer in ${callMs} ms`));
      return;
    }
    const asked = attempt;
    beating = asked;
    missed = 0;
    const answered = (): void => {
      if (beating === asked) beating = undefined;
    };
    options.ping(attempt.ready).then(answered, (error) => {
      answered();
      fail(asked, error);
    });
  }, callMs / BEATS);

  open();
  return {
    connected: () => attempt?.ready !== undefined,
    async use(what, work) {
      if (closed) throw new BrokerError('the broker is closed');
      const asked = attempt;
      if (asked?.ready === undefined)
        throw new BrokerError(`${shown} is not connected: ${messageOf(reason)}`, { cause: reason });
      try {
        return await within(callMs, what, work(asked.ready));
      } catch (error) {
        if (options.isElsewhere?.(error)) fail(asked, error);
        if (error instanceof BrokerError || options.passes?.(error)) throw error;
        throw new BrokerError(`${what}: ${messageOf(error)}`, { cause: error });
      }
    },
    first,
    close() {
      if (closed) return;
      closed = true;
      clearInterval(heartbeat);
      clearTimeout(retry);
      attempt?.destroy();
      attempt = undefined;
      connectedOnce();
    },
  };
}

/** The server answers, and never will serve us. */
export class Refusal extends Error {}

/** What happened, as deep as it is known. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return messageOf(error.cause);
  // Of several addresses that were all refused, for example.
  return error.message || ('code' in error ? String(error.code) : error.name);
}
