/**
 * Bytes that many connections share, written straight to the handle of a TCP socket: node:stream keeps a state of half a dozen cache lines
 * for each write and each socket, which costs a broadcast more than a quarter of what the kernel does.
 */
import { Socket } from 'node:net';
import { type Duplex, Writable } from 'node:stream';
import { getSystemErrorName } from 'node:util';

/**
 * A libuv stream as node:net uses it: `writeBuffer` tries the kernel first and answers 0 or an error of the system; what the kernel does not
 * take waits in libuv's own queue, whose order is that of the calls, until the request is completed. None of this is public.
 */
interface Handle {
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  /** Bytes in that queue. */
  readonly writeQueueSize: number;
}

/** Node's WriteWrap. It is of use again unless its write has to wait. */
interface WriteRequest {
  oncomplete?: (this: WriteRequest, status: number) => void;
  /** Who is told, and what must not be collected while it waits. */
  waiting?: { readonly writer: DirectWriter; readonly bytes: Uint8Array };
}

/** What is looked at of a net.Socket before each write. */
interface Insides {
  readonly _handle: Handle | null;
  readonly _writableState: { readonly length: number };
  readonly timeout?: number;
}

type RequestClass = new () => WriteRequest;

/** Learnt from Node itself: there is no public name for it. */
let requestClass: RequestClass | undefined;
let spare: WriteRequest | undefined;

/** Whether node:net would do with the bytes what is done here: not for TLS, for a pipe, nor when somebody has put their own `write` on it. */
function isPlainTcp(raw: Duplex): boolean {
  if (!(raw instanceof Socket) || raw.write !== Writable.prototype.write) return false;
  const { _handle: handle, _writableState: state } = raw as unknown as Partial<Insides>;
  return (
    handle?.constructor.name === 'TCP' &&
    typeof handle.writeBuffer === 'function' &&
    typeof handle.writeQueueSize === 'number' &&
    typeof state?.length === 'number'
  );
}

/** One write of Node's, whose request shows what a request is. */
function writeAndLearn(raw: Duplex, bytes: Uint8Array): void {
  const { _handle: handle } = raw as unknown as Insides;
  if (handle !== null) {
    handle.writeBuffer = function writeBuffer(this: Handle, request, data) {
      requestClass = request.constructor as RequestClass;
      Reflect.deleteProperty(handle, 'writeBuffer');
      return handle.writeBuffer(request, data);
    };
  }
  raw.write(bytes);
  if (handle !== null) Reflect.deleteProperty(handle, 'writeBuffer');
}

function onComplete(this: WriteRequest, status: number): void {
  this.waiting?.writer.completed(status);
}

/** To be extended by what a door holds for each connection, so that it costs no object of its own. */
export abstract class DirectWriter {
  /** Whether bytes that were written here wait in libuv. */
  private waits = false;
  private readonly direct: boolean;

  protected constructor(protected readonly raw: Duplex) {
    this.direct = isPlainTcp(raw);
  }

  /** The client takes bytes again that were waiting. Not called for a socket that has gone. */
  protected abstract drained(): void;

  /** Whether the client does not take what was written. */
  isFull(): boolean {
    return this.waits || this.raw.writableNeedDrain;
  }

  /** After everything written to the socket so far. Nothing happens on a socket that has ended or gone. */
  protected writeRaw(bytes: Uint8Array): void {
    const { _handle: handle, _writableState: state, timeout } = this.raw as unknown as Insides;
    // A socket with a timeout has to hear of each write; one that is not empty has an order to keep.
    const free = this.direct && !this.waits && handle !== null && state.length === 0 && !timeout;
    if (!free) this.writeStream(bytes);
    else if (requestClass === undefined) writeAndLearn(this.raw, bytes);
    else {
      spare ??= new requestClass();
      // Of an error Node's own way is the right one: nothing was written, and it finds the same.
      if (handle.writeBuffer(spare, bytes) !== 0) this.writeStream(bytes);
      else if (handle.writeQueueSize !== 0) this.wait(bytes);
    }
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
