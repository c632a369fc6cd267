/** Load from this process: keep-alive HTTP/1.1 on raw sockets, so that the generator costs little of the two cores. */
import { connect, type Socket } from 'node:net';

export interface Load {
  readonly done: number;
  readonly seconds: number;
  /** Milliseconds of each operation, unsorted. */
  readonly latencies: readonly number[];
}

interface Target {
  readonly port: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const HEAD_END = Buffer.from('\r\n\r\n');

function requestText({ port, path, headers = {} }: Target): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n${lines.join('')}\r\n`;
}

/** Bytes of one response with content-length at the start of `buffer`, or 0 while it is not whole. Throws unless it is a 200. */
function responseLength(buffer: Buffer): number {
  const head = buffer.indexOf(HEAD_END);
  if (head < 0) return 0;
  const text = buffer.toString('latin1', 0, head);
  if (!text.startsWith('HTTP/1.1 200')) throw new Error(`the benchmark got ${text.slice(0, 100)}`);
  const length = Number(/content-length: (\d+)/i.exec(text)?.[1]);
  return buffer.length >= head + 4 + length ? head + 4 + length : 0;
}

/** `connections` clients, each sending its next request when the last one is answered, for `seconds`. */
export async function unaryLoad(target: Target, connections: number, seconds: number): Promise<Load> {
  const request = requestText(target);
  const latencies: number[] = [];
  const start = performance.now();
  const end = start + seconds * 1000;
  const client = (): Promise<void> =>
    new Promise((resolve, reject) => {
      let rest: Buffer = Buffer.alloc(0);
      let sent = 0;
      const socket = connect(target.port, '127.0.0.1');
      socket.setNoDelay(true);
      const send = (): void => {
        sent = performance.now();
        socket.write(request);
      };
      socket
        .on('connect', send)
        .on('error', reject)
        .on('close', () => resolve());
      socket.on('data', (chunk: Buffer) => {
        rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
        const length = responseLength(rest);
        if (length === 0) return;
        rest = rest.subarray(length);
        const now = performance.now();
        latencies.push(now - sent);
        if (now < end) send();
        else socket.end();
      });
    });
  await Promise.all(Array.from({ length: connections }, client));
  return { done: latencies.length, seconds: (performance.now() - start) / 1000, latencies };
}

export interface Subscriber {
  close(): void;
}

const now = (): number => (performance.timeOrigin + performance.now()) * 1000;
const NOTE = /"note": ?"(\d+)"/g;

/** Reads deliveries off a socket: every note carries the microsecond it was sent at. */
export function countDeliveries(socket: Socket, latencies: number[]): Subscriber {
  let rest = '';
  socket.on('data', (chunk: Buffer) => {
    const text = rest + chunk.toString('latin1');
    let end = 0;
    for (const match of text.matchAll(NOTE)) {
      latencies.push((now() - Number(match[1])) / 1000);
      end = match.index + match[0].length;
    }
    // A note may be cut by the chunk: keep a tail that could hold its beginning.
    rest = text.slice(Math.max(end, text.length - 40));
  });
  socket.on('error', () => undefined);
  return { close: () => socket.destroy() };
}

/** Opens an event stream or a WebSocket (the same bytes flow to the reader either way) and counts what arrives. */
export function subscribe(target: Target, latencies: number[]): Promise<Subscriber> {
  return new Promise((resolve, reject) => {
    const socket = connect(target.port, '127.0.0.1', () => socket.write(requestText(target)));
    socket.once('error', reject);
    socket.once('data', (chunk: Buffer) => {
      const status = chunk.toString('latin1', 0, 12);
      if (status === 'HTTP/1.1 200' || status === 'HTTP/1.1 101') resolve(countDeliveries(socket, latencies));
      else reject(new Error(`the benchmark got ${chunk.toString('latin1', 0, 200)}`));
    });
  });
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
