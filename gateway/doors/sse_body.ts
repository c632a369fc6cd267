/** The body of an event stream on its connection: shared bytes go straight to the socket, everything else through the response. */
import { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type BodyWriter, type Coding, createBodyWriter } from '../http/compress.js';
import { DirectWriter } from '../http/direct_write.js';
import type { EventEncoder } from './sse_events.js';

export interface EventBody {
  readonly encoder: EventEncoder;
  /** Whether the client does not take what was written: `roomy` is called when it does. */
  isFull(): boolean;
  /** Bytes that the encoder has joined. */
  write(bytes: Uint8Array): void;
  end(text: string): void;
  /** Listens no more. Idempotent. */
  release(): void;
}

export interface BodyOptions {
  readonly response: ServerResponse;
  readonly coding: Coding | undefined;
  readonly encoders: { readonly chunked: EventEncoder; readonly plain: EventEncoder };
  /** The first text, which leaves together with the head. */
  readonly first: string;
  /** Called when the client takes more again. */
  readonly roomy: () => void;
}

/** For a response whose head has been written. */
export function createEventBody({ response, coding, encoders, first, roomy }: BodyOptions): EventBody {
  const socket = coding === undefined ? ownSocket(response) : undefined;
  if (socket !== undefined) {
    response.write(first);
    forgetHead(response);
    return new SocketBody(
      response,
      socket,
      response.chunkedEncoding ? encoders.chunked : encoders.plain,
      roomy,
    );
  }
  const body = new WriterBody(createBodyWriter(response, coding), encoders.plain, roomy);
  body.write(encoders.plain.frame(first));
  return body;
}

/**
 * The socket of a response that nobody stands between: not a handler that has put its own `write` on it (to compress, say), not HTTP/2, and
 * not one that waits for another response on its connection.
 */
function ownSocket(response: ServerResponse): Socket | undefined {
  const { write, end } = ServerResponse.prototype;
  if (response.write !== write || response.end !== end) return undefined;
  return response.socket ?? undefined;
}

/**
 * Node keeps a head for as long as its response lasts, as the tree of strings that it was put together of: 1 KB for each client of a stream.
 * That it was sent is all that is ever asked of it again.
 */
function forgetHead(response: ServerResponse): void {
  const sent = response as { _header?: unknown };
  if (typeof sent._header === 'string') sent._header = 'sent';
}

/**
 * Writes what many clients share with one `socket.write` each: through the response, the same bytes cost three writes and a new size line
 * for each client.
 */
class SocketBody extends DirectWriter implements EventBody {
  constructor(
    private readonly response: ServerResponse,
    socket: Socket,
    readonly encoder: EventEncoder,
    private readonly roomy: () => void,
  ) {
    super(socket);
    socket.on('drain', roomy);
  }

  protected override drained(): void {
    this.roomy();
  }

  write(bytes: Uint8Array): void {
    this.writeRaw(bytes);
  }

  end(text: string): void {
    this.release();
    this.response.end(text);
  }

  release(): void {
    this.raw.off('drain', this.roomy);
  }
}

class WriterBody implements EventBody {
  private full = false;

  constructor(
    private readonly writer: BodyWriter,
    readonly encoder: EventEncoder,
    private readonly roomy: () => void,
  ) {}

  isFull(): boolean {
    return this.full;
  }

  write(bytes: Uint8Array): void {
    const written = this.writer.write(bytes);
    if (written === undefined) return;
    this.full = true;
    void written.then(() => {
      this.full = false;
      this.roomy();
    });
  }

  end(text: string): void {
    this.writer.end(text);
  }

  release(): void {}
}
