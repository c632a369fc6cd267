/** A call while it runs on a grpc-js channel: sending, cancelling and cleaning up, whatever its replies are. */
import {
  type Channel,
  connectivityState,
  type Metadata as GrpcMetadata,
  type InterceptingListener,
  type StatusObject,
} from '@grpc/grpc-js';
import type { Call, Message, Reply } from '../call.js';
import { Code, StatusError } from '../status.js';
import { failureOf, lost, notGrpc, type Origin } from './failure.js';
import { toGrpc } from './metadata.js';
import { resetUnfinished } from './reset.js';

type Wire = ReturnType<Channel['createCall']>;

/** How much later grpc-js may end a client stream than the deadline policy, in ms. */
const DEADLINE_GRACE_MS = 100;

/** What the calls of one upstream share. */
export interface Link extends Origin {
  readonly channel: Channel;
  /** How long a stream's service may be silent until the call counts as accepted, in ms. */
  readonly acceptMs: number;
  /** How long a call waits for a connection before it is refused, in ms. */
  readonly connectMs: number;
  readonly running: Set<Running>;
}

/** What a stream that was reset ends with, by the gRPC specification's table of HTTP/2 errors. */
const RESETS: ReadonlySet<Code> = new Set([Code.CANCELLED, Code.INTERNAL]);

/**
 * It listens to grpc-js and to the call's signal itself, so that a call costs no closures. The low-level call of
 * the channel is used instead of grpc.Client because it delivers one message for each `startRead`, which is
 * exact back-pressure, and spares an emitter, a stream and two captured stacks per call.
 */
export abstract class Running implements InterceptingListener {
  private wire: Wire | undefined;
  private ended = false;
  private settled = false;
  private input: AsyncIterator<Message> | undefined;
  private unblock: (() => void) | undefined;
  private connectTimer: NodeJS.Timeout | undefined;
  /** The media type of an answer that is no gRPC. */
  protected foreignType: string | undefined;
  private resolve!: (reply: Reply) => void;
  private reject!: (error: StatusError) => void;
  /** Settles when the call is accepted or refused. */
  readonly accepted: Promise<Reply>;

  constructor(
    protected readonly link: Link,
    protected readonly call: Call,
  ) {
    this.accepted = new Promise<Reply>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  abstract onReceiveMessage(message: Message | null): void;
  /** The service sent headers, and they are gRPC's. */
  protected abstract receiveHeaders(metadata: GrpcMetadata): void;
  /** The call ended well. */
  protected abstract complete(status: StatusObject): void;
  /** The call failed; comes at most once and last. The default refuses the call. */
  protected failed(error: StatusError): void {
    this.refuse(error);
  }
  /** The call was sent; nothing was heard of the service yet. */
  protected opened(): void {}
  /** The call is over; timers and listeners go here. */
  protected closed(): void {}

  get isEnded(): boolean {
    return this.ended;
  }

  begin(): this {
    const { requests, signal } = this.call;
    this.link.running.add(this);
    if (signal.aborted) {
      this.fail(reasonOf(signal));
      return this;
    }
    signal.addEventListener('abort', this);
    if (typeof requests !== 'function') {
      if (this.open()) void this.sendAll(requests[Symbol.asyncIterator]());
      return this;
    }
    // A request that is already there, as with most, does not wait for a turn of the microtask queue.
    try {
      const message = requests();
      if (message instanceof Uint8Array) this.sendOnly(message);
      else message.then((it) => this.sendOnly(it)).catch((thrown) => this.fail(StatusError.from(thrown)));
    } catch (thrown) {
      this.fail(StatusError.from(thrown));
    }
    return this;
  }

  /** The call's signal was aborted. */
  handleEvent(): void {
    this.fail(reasonOf(this.call.signal));
  }

  onReceiveMetadata(metadata: GrpcMetadata): void {
    if (this.ended) return;
    const [type] = metadata.get('content-type');
    // Something in between answered, and has not accepted anything. What it is comes with the status.
    if (typeof type === 'string' && !/^application\/grpc\b/i.test(type)) this.foreignType = shorten(type);
    else this.receiveHeaders(metadata);
  }

  onReceiveStatus(status: StatusObject): void {
    if (this.ended) return;
    // grpc-js calls this from a turn of its own: what is thrown here would end the process.
    try {
      this.receiveStatus(status);
    } catch (thrown) {
      this.endWith(StatusError.from(thrown));
    }
  }

  private receiveStatus(status: StatusObject): void {
    if (status.code === Code.OK) {
      this.end();
      this.complete(status);
      return;
    }
    const peer = this.wire?.getAuthContext() ? this.wire.getPeer() : undefined;
    const type = this.foreignType;
    const error =
      type === undefined ? failureOf(status, this.link, peer) : notGrpc(status, this.link, { type, peer });
    if (error.cause !== undefined && RESETS.has(error.code)) this.resetByPeer(error);
    else this.endWith(error);
  }

  /** Refuses the call if there is no connection still: grpc-js alone would wait as long as TCP does. */
  giveUpConnecting(): void {
    if (this.isConnected) return;
    this.fail(new StatusError(Code.UNAVAILABLE, `upstream ${this.link.name} is unavailable`));
  }

  /** Ends the call with a failure of our own and tells the service. */
  fail(error: StatusError): void {
    if (this.ended) return;
    this.end();
    this.cancelWire(error);
    this.failed(error);
  }

  protected accept(reply: Reply): void {
    if (this.settled) return;
    this.settled = true;
    this.resolve(reply);
  }

  protected refuse(error: StatusError): void {
    if (this.settled) return;
    this.settled = true;
    this.reject(error);
  }

  /** Asks for one message more. */
  protected read(): void {
    this.wire?.startRead();
  }

  /** Whether there is a connection, so that a silent service is one that has heard the call. */
  protected get isConnected(): boolean {
    return this.link.channel.getConnectivityState(false) === connectivityState.READY;
  }

  private open(): boolean {
    if (this.ended) return false;
    const { call, link } = this;
    let metadata: GrpcMetadata;
    try {
      metadata = toGrpc(call.metadata);
    } catch (thrown) {
      this.fail(StatusError.from(thrown));
      return false;
    }
    this.wire = link.channel.createCall(call.method.path, this.deadline(), null, null, null);
    if (!this.isConnected) this.connectTimer = setTimeout(giveUpConnecting, link.connectMs, this);
    this.wire.start(metadata, this);
    this.wire.startRead();
    this.opened();
    return true;
  }

  /**
   * grpc-js ends a call at its deadline as it cancels one, which makes half of a client stream look like the whole (see
   * reset.ts). So it hears of a later one, and the policy that watches the real one ends the call before.
   */
  private deadline(): number {
    const { deadline = Infinity, method } = this.call;
    return method.clientStreaming ? deadline + DEADLINE_GRACE_MS : deadline;
  }

  private sendOnly(message: Message): void {
    if (!this.open()) return;
    this.wire?.sendMessageWithContext({}, toBuffer(message));
    this.wire?.halfClose();
  }

  private async sendAll(input: AsyncIterator<Message>): Promise<void> {
    this.input = input;
    try {
      while (!this.ended) {
        const next = await input.next();
        if (this.ended) return;
        if (next.done) {
          this.input = undefined;
          this.wire?.halfClose();
          return;
        }
        await this.write(next.value);
      }
    } catch (thrown) {
      this.input = undefined;
      this.fail(StatusError.from(thrown));
    }
  }

  /** Resolves when the message left, or the call ended: grpc-js may forget the callback then. */
  private write(message: Message): Promise<void> {
    return new Promise((resolve) => {
      this.unblock = resolve;
      this.wire?.sendMessageWithContext({ callback: () => resolve() }, toBuffer(message));
    });
  }

  /**
   * Nobody here has cancelled. When a server is shut down by force, or gives a connection up (Node's own servers do so to
   * a peer that has cancelled many calls), its streams are seen to be reset a moment before the connection is seen to
   * close; to the client these are one.
   */
  private resetByPeer(error: StatusError): void {
    setImmediate(() => {
      if (!this.ended) this.endWith(this.isConnected ? error : lost(this.link, error));
    });
  }

  private endWith(error: StatusError): void {
    this.end();
    this.failed(error);
  }

  private end(): void {
    this.ended = true;
    this.link.running.delete(this);
    this.call.signal.removeEventListener('abort', this);
    clearTimeout(this.connectTimer);
    this.closed();
    this.unblock?.();
    const input = this.input;
    this.input = undefined;
    // The client's messages are of no use any more. How their source takes that is not the call's concern.
    input?.return?.()?.catch(() => {});
  }

  private cancelWire(error: StatusError): void {
    const wire = this.wire;
    if (wire === undefined) return;
    const cancel = (): void => {
      if (this.call.method.clientStreaming) resetUnfinished(wire);
      wire.cancelWithStatus(error.code, error.message);
    };
    cancel();
    // A call that is cancelled before grpc-js has passed it through its filters is sent all the same, and
    // nothing would ever end it. The filters take a few microtasks; after those the second cancel finds it.
    setImmediate(cancel);
  }
}

/** The reason of an aborted signal as the StatusError that it should be. */
export function reasonOf(signal: AbortSignal): StatusError {
  const { reason } = signal;
  if (reason instanceof StatusError) return reason;
  return new StatusError(Code.CANCELLED, 'the call was cancelled', { cause: reason });
}

/** Without its parameters. */
function shorten(contentType: string): string {
  return contentType.split(';', 1)[0]?.trim().slice(0, 100) ?? '';
}

function giveUpConnecting(running: Running): void {
  running.giveUpConnecting();
}

/** grpc-js copies with Buffer's methods; this is a view, not a copy. */
function toBuffer(message: Message): Buffer {
  if (Buffer.isBuffer(message)) return message;
  return Buffer.from(message.buffer, message.byteOffset, message.byteLength);
}
