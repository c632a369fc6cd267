/** A WebSocket client: sends messages, and waits for those that it expects. */
import { WebSocket } from 'ws';

export interface CallSocket {
  send(message: object): void;
  /** Tells the service that no message follows. */
  halfClose(): void;
  /** The next message that was not taken yet. Rejects when none comes within 5 s, or the socket closed before. */
  next(): Promise<Record<string, unknown>>;
  /** The close code. */
  readonly closed: Promise<number>;
  /** Says goodbye, as a browser does when its page is left. */
  close(): void;
  /** Leaves without a word, as a client does that crashed. */
  terminate(): void;
}

const WAIT_MS = 5000;

export interface SocketOptions {
  readonly token: string;
  /** Subprotocol; on a route none is needed. */
  readonly protocol?: string;
}

/** Resolves when the handshake is done: on a route, the call was accepted. */
export async function openSocket(
  address: string,
  path: string,
  { token, protocol }: SocketOptions,
): Promise<CallSocket> {
  const headers = { authorization: `Bearer ${token}` };
  const socket = new WebSocket(`ws://${address}${path}`, protocol === undefined ? [] : [protocol], {
    headers,
  });
  const arrived: Record<string, unknown>[] = [];
  let wake: () => void = () => {};
  let isClosed = false;
  socket.on('message', (data: Buffer) => {
    arrived.push(JSON.parse(data.toString()) as Record<string, unknown>);
    wake();
  });
  const closed = new Promise<number>((resolve) => {
    socket.on('close', (code) => {
      isClosed = true;
      resolve(code);
      wake();
    });
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve).once('error', reject);
  });
  socket.on('error', () => {});

  async function next(): Promise<Record<string, unknown>> {
    const limit = Date.now() + WAIT_MS;
    for (;;) {
      const message = arrived.shift();
      if (message !== undefined) return message;
      if (isClosed) throw new Error('the socket was closed before the message came');
      if (Date.now() >= limit) throw new Error(`no message within ${WAIT_MS} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, limit - Date.now());
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  return {
    send: (message) => socket.send(JSON.stringify(message)),
    halfClose: () => socket.send(''),
    next,
    closed,
    close: () => socket.close(1000),
    terminate: () => socket.terminate(),
  };
}
