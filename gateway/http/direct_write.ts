/**
 * Bytes that many connections share, written straight to the handle of a TCP socket: node:stream keeps a state of half a dozen cache lines
 * for each write and each socket, which costs a broadcast more than a quarter of what the kernel does.
 */
import { Socket } from 'node:net';
import { type Duplex, Writable } from 'node:stream';
import { getSystemErrorName } from 'node:util';

/**
 * A libuv stream as node:net uses it: `writeBuffer` tries the kernel first and answers 0 or an error of the system; what the kernel does not
 * take waits in libuv's own queue, whose order is that of the calls, until the request is completed.
 */
interface Handle {
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
}

/** Node's WriteWrap. It is of use again unless its write has to wait. */
interface WriteRequest {
  oncomplete?: (this: WriteRequest, status: number) => void;
  /** Who is told, and what must not be collected while it waits. */
  waiting?: { readonly writer: DirectWriter; readonly bytes: Uint8Array };
}

/** What node:net uses to write: none of it is public, so that each part is looked for, and without one everything goes through the stream. */
interface Writing {
  readonly WriteWrap: new () => WriteRequest;
  /** Of the last write: at `kLastWriteWasAsync`, whether it has to wait. */
  readonly streamBaseState: Int32Array;
  readonly kLastWriteWasAsync: number;
}

function findWriting(): Writing | undefined {
  try {
    const { binding } = process as unknown as { binding: (name: string) => Partial<Writing> };
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = binding('stream_wrap');
    if (typeof WriteWrap !== 'function' || typeof kLastWriteWasAsync !== 'number') return undefined;
    if (!(streamBaseState instanceof Int32Array)) return undefined;
    return { WriteWrap, streamBaseState, kLastWriteWasAsync };
  } catch {
    // Not for this process (`--permission`), or not any more.
    return undefined;
  }
}

const WRITING = findWriting();
let spare: WriteRequest | undefined;

/** Of a stream that can be written. */
interface StreamState {
  readonly length: number;
  readonly needDrain: boolean;
  readonly destroyed: boolean;
}

interface Insides {
  readonly _handle: Handle | null;
  readonly _writableState: StreamState;
  readonly timeout?: number;
}

/** Of a socket on which node:net would do what is done here: not TLS, no pipe, and nobody has put their own `write` on it. */
function handleOf(raw: Duplex): Handle | undefined {
  if (WRITING === undefined || !(raw instanceof Socket) || raw.write !== Writable.prototype.write)
    return undefined;
  const { _handle: handle, _writableState: state } = raw as unknown as Partial<Insides>;
  if (handle?.constructor.name !== 'TCP' || typeof handle.writeBuffer !== 'function') return undefined;
  if (typeof state?.length !== 'number' || typeof state.needDrain !== 'boolean') return undefined;
  return typeof state.destroyed === 'boolean' ? handle : undefined;
}

function onComplete(this: WriteRequest, status: number): void {
  this.waiting?.writer.completed(status);
}

/** To be extended by what a door holds for each connection, so that it costs no object of its own. */
export abstract class DirectWriter {
  /** Whether bytes that were written here wait in libuv. */
  private waits = false;
  private readonly handle: Handle | undefined;
  private readonly state: StreamState;

  protected constructor(protected readonly raw: Duplex) {
    this.handle = handleOf(raw);
    this.state = (raw as unknown as Insides)._writableState;
  }

  /** The client takes bytes again that were waiting. Not called for a socket that has gone. */
  protected abstract drained(): void;

  /** Whether the client does not take what was written. */
  isFull(): boolean {
    return this.waits || (this.handle === undefined ? this.raw.writableNeedDrain : this.state.needDrain);
  }

  /** After everything written to the socket so far. Nothing happens on a socket that has ended or gone. */
  protected writeRaw(bytes: Uint8Array): void {
    const { handle, state } = this;
    // A stream that is not empty has an order to keep; a socket with a timeout has to hear of each write.
    if (
      handle === undefined ||
      WRITING === undefined ||
      this.waits ||
      state.length !== 0 ||
      state.destroyed ||
      (this.raw as unknown as Insides).timeout
    ) {
      this.writeStream(bytes);
      return;
    }
    spare ??= new WRITING.WriteWrap();
    // Of an error Node's own way is the right one: nothing was written, and it finds the same.
    if (handle.writeBuffer(spare, bytes) !== 0) this.writeStream(bytes);
    else if (WRITING.streamBaseState[WRITING.kLastWriteWasAsync] !== 0) this.wait(bytes);
  }

  private writeStream(bytes: Uint8Array): void {
    // Node ends a socket whose client has sent its last byte, before anybody hears that it has left.
    if (this.raw.writable) this.raw.write(bytes);
  }

  private wait(bytes: Uint8Array): void {
    const request = spare as WriteRequest;
    spare = undefined;
    this.waits = true;
    request.waiting = { writer: this, bytes };
    request.oncomplete = onComplete;
  }

  completed(status: number): void {
    const { raw } = this;
    this.waits = false;
    if (raw.destroyed) return;
    if (status === 0) this.drained();
    else raw.destroy(new Error(`write ${getSystemErrorName(status)}`));
  }
}
