/** Writes that go straight to the handle of a socket: in order with all others, and right when the client does not read or leaves. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type Duplex, PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { DirectWriter } from '../gateway/http/direct_write.js';

class Writer extends DirectWriter {
  drains = 0;

  constructor(readonly socket: Duplex) {
    super(socket);
  }

  write(bytes: Uint8Array | string): void {
    this.writeRaw(Buffer.from(bytes));
  }

  protected override drained(): void {
    this.drains++;
  }
}

interface Pair {
  readonly server: Socket;
  readonly client: Socket;
}

const closing: (() => void)[] = [];

afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** Both ends of a connection. */
async function connected(options: { allowHalfOpen?: boolean } = {}): Promise<Pair> {
  const listener = createServer({ noDelay: true, ...options }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const client = connect({ port: (listener.address() as AddressInfo).port, ...options });
  const [server] = (await once(listener, 'connection')) as [Socket];
  for (const socket of [client, server]) socket.on('error', () => undefined);
  closing.push(() => {
    client.destroy();
    server.destroy();
    listener.close();
  });
  return { server, client };
}

function collect(client: Socket): { text(): string } {
  const chunks: Buffer[] = [];
  client.on('data', (chunk: Buffer) => chunks.push(chunk));
  return { text: () => Buffer.concat(chunks).toString() };
}

const BLOCK = 64 * 1024;
const block = (n: number): Buffer => Buffer.alloc(BLOCK, String(n % 10));

/** Writes blocks until the client's kernel and ours take no more; answers how many. */
function fill(writer: Writer): number {
  let blocks = 0;
  while (!writer.isFull()) writer.write(block(blocks++));
  return blocks;
}

describe('bytes that are written straight', () => {
  test('come in order with what is written to the socket', async () => {
    const { server, client } = await connected();
    const got = collect(client);
    const writer = new Writer(server);
    for (let n = 0; n < 30; n++) {
      if (n % 3 === 0) server.write(`s${n},`);
      else writer.write(`w${n},`);
    }
    server.cork();
    server.write('corked,');
    writer.write('behind,');
    server.uncork();
    const all = Array.from({ length: 30 }, (_, n) => `${n % 3 === 0 ? 's' : 'w'}${n},`).join('');
    await vi.waitFor(() => expect(got.text()).toBe(`${all}corked,behind,`));
  });

  test('pass node:stream by on a TCP socket', async () => {
    const { server } = await connected();
    const writer = new Writer(server);
    writer.write('learn');
    expect(fill(writer)).toBeGreaterThan(1);
    // They wait in libuv: the stream knows nothing of them.
    expect(server.writableLength).toBe(0);
    expect(writer.isFull()).toBe(true);
  });

  test('wait while the client does not read, none lost and none out of order, and then there is room', async () => {
    const { server, client } = await connected();
    const writer = new Writer(server);
    const blocks = fill(writer);
    server.write('stream,');
    writer.write('writer,');
    server.write('end');
    expect(writer.drains).toBe(0);
    const got = collect(client);
    const wanted = `${Array.from({ length: blocks }, (_, n) => block(n)).join('')}stream,writer,end`;
    await vi.waitFor(() => expect(got.text().length).toBe(wanted.length));
    expect(got.text() === wanted).toBe(true);
    expect(writer.drains).toBe(1);
    expect(writer.isFull()).toBe(false);
    writer.write('again');
    await vi.waitFor(() => expect(got.text().endsWith('endagain')).toBe(true));
  });

  test('all leave before the end of a socket that is ended while they wait', async () => {
    const { server, client } = await connected();
    const writer = new Writer(server);
    const blocks = fill(writer);
    server.end('bye');
    const got = collect(client);
    await once(client, 'end');
    expect(got.text().length).toBe(blocks * BLOCK + 3);
    expect(got.text().endsWith('bye')).toBe(true);
  });

  test.each(['client', 'server'] as const)('harm nobody when the %s goes while they wait', async (side) => {
    const pair = await connected();
    const writer = new Writer(pair.server);
    fill(writer);
    if (side === 'client') pair.client.resetAndDestroy();
    else pair.server.destroy();
    await vi.waitFor(() => expect(pair.server.destroyed).toBe(true));
    writer.write('nobody');
    await sleep(20);
    expect(writer.drains).toBe(0);
  });

  test('are dropped when the socket has ended or gone', async () => {
    const { server, client } = await connected({ allowHalfOpen: true });
    const got = collect(client);
    const writer = new Writer(server);
    writer.write('one');
    server.end();
    await once(client, 'end');
    writer.write('two');
    expect(server.errored).toBeNull();
    server.destroy();
    writer.write('three');
    await sleep(20);
    expect(got.text()).toBe('one');
  });

  test('tell of a client that has reset its connection as any write does', async () => {
    const { server, client } = await connected();
    const writer = new Writer(server);
    writer.write('one');
    server.pause();
    client.resetAndDestroy();
    await sleep(20);
    writer.write('two');
    await vi.waitFor(() => expect(server.destroyed).toBe(true));
  });

  test('reset the clock of a socket that has a timeout', async () => {
    const { server } = await connected();
    const writer = new Writer(server);
    let timedOut = false;
    server.setTimeout(150, () => {
      timedOut = true;
    });
    for (let n = 0; n < 8; n++) {
      await sleep(50);
      writer.write('beat');
    }
    expect(timedOut).toBe(false);
  });
});

describe('where there is no handle of TCP, they go through the stream', () => {
  test('on a stream that is no socket', async () => {
    const stream = new PassThrough();
    const writer = new Writer(stream);
    writer.write('one,');
    writer.write('two');
    expect(String(stream.read())).toBe('one,two');
  });

  test('on a socket with a write of its own', async () => {
    const { server } = await connected();
    const seen: string[] = [];
    server.write = (chunk: unknown) => {
      seen.push(String(chunk));
      return true;
    };
    new Writer(server).write('one');
    expect(seen).toEqual(['one']);
  });
});
