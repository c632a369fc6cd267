/** An HTTP/2 server made of frames, since Node's own ends a stream before it resets it. */

import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';
import { frame, type RawServer } from './raw_server.js';

/** RFC 9113 section 6. */
const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const ACK = 1;
const END_HEADERS = 4;

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** RFC 7541: `:status: 200` is entry 8; content-type is entry 31, here with a literal value. */
const GRPC_HEAD = Buffer.concat([
  Buffer.from([0x88, 0x0f, 0x10, 'application/grpc'.length]),
  Buffer.from('application/grpc'),
]);

function wire(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

function answer(socket: Socket, stream: number, { code, late }: Reset): void {
  const reset = Buffer.alloc(4);
  reset.writeUInt32BE(code);
  const end = (): void => void socket.write(wire(RST_STREAM, 0, stream, reset));
  if (!late) {
    end();
    return;
  }
  socket.write(wire(HEADERS, END_HEADERS, stream, GRPC_HEAD));
  socket.write(wire(DATA, 0, stream, frame('a')));
  setTimeout(end, 20);
}

interface Reset {
  readonly code: number;
  /** Whether headers and a message come before. */
  readonly late: boolean;
}

function serve(socket: Socket, reset: Reset): void {
  let input = Buffer.alloc(0);
  let greeted = false;
  socket.write(wire(SETTINGS, 0, 0, Buffer.alloc(0)));
  socket.on('data', (chunk: Buffer) => {
    input = Buffer.concat([input, chunk]);
    if (!greeted && input.length < PREFACE.length) return;
    if (!greeted) input = input.subarray(PREFACE.length);
    greeted = true;
    while (input.length >= 9 && input.length >= 9 + input.readUIntBE(0, 3)) {
      const end = 9 + input.readUIntBE(0, 3);
      const [type, flags] = [input[3], input[4] ?? 0];
      const payload = input.subarray(9, end);
      if (type === HEADERS) answer(socket, input.readUInt32BE(5), reset);
      else if (type === SETTINGS && (flags & ACK) === 0)
        socket.write(wire(SETTINGS, ACK, 0, Buffer.alloc(0)));
      else if (type === PING && (flags & ACK) === 0) socket.write(wire(PING, ACK, 0, payload));
      input = input.subarray(end);
    }
  });
}

/** Resets every stream with an error code of HTTP/2, at once or after headers and a message. */
export async function startResetServer(code: number, late: boolean): Promise<RawServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
    serve(socket, { code, late });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    port,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
