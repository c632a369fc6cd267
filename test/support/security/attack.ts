/** What attacks on a gateway are made of: raw connections in numbers, from addresses of their own, and its metrics. */
import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export interface RawClient {
  readonly socket: Socket;
  /** All that came back so far. */
  text(): string;
  /** The gateway has closed its side, or reset the connection. */
  readonly closed: Promise<void>;
  isClosed(): boolean;
}

/** A connection that sends these bytes. `from`: an address of loopback, 127.0.0.1 to 127.255.255.255 on Linux; destroyed when the test ends. */
export function raw(port: number, bytes: string | Uint8Array = '', from = '127.0.0.1'): RawClient {
  let text = '';
  let over = false;
  const socket = connect({ port, host: '127.0.0.1', localAddress: from, allowHalfOpen: true });
  if (bytes.length > 0) socket.write(bytes);
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => {
    const end = (): void => {
      over = true;
      resolve();
    };
    socket.once('close', end).once('end', end);
  });
  onTestFinished(() => void socket.destroy());
  return { socket, text: () => text, closed, isClosed: () => over };
}

export const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nhost: a\r\n${more}\r\n`;

/** The status of an HTTP answer, as text; empty while there is none. */
export const statusOf = (client: RawClient): string => client.text().slice(9, 12);

/** How often a limit was reached, by the metrics. */
export async function limited(port: number, limit: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(
    new RegExp(`^tidegate_limited_total\\{limit="${limit}"\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0,
  );
}
