/** The servers that tests are run against: what they keep when they are killed, and what they do not answer when they are paused. */
import { connect } from 'node:net';
import { describe, expect, test, vi } from 'vitest';
import { missingNats, missingRedis, startNats, startRedis, type TestServer } from './support/servers.js';

/** The first thing that a server says to these words, or undefined if it says nothing for a while. */
function say(server: TestServer, words: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, '127.0.0.1', () => socket.write(words));
    const finish = (answer: string | undefined): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(700, () => finish(undefined));
    socket.once('error', reject).once('data', (data) => finish(data.toString()));
  });
}

const servers = [
  { kind: 'Redis', missing: missingRedis(), start: startRedis, words: 'PING\r\n', answer: '+PONG' },
  { kind: 'NATS', missing: missingNats(), start: startNats, words: '', answer: 'INFO {' },
];

describe.each(servers)('$kind', ({ missing, start, words, answer }) => {
  test.skipIf(missing !== undefined)(
    'is paused, resumed, killed, shut down and started where it was',
    async () => {
      const server = await start();
      try {
        expect(await say(server, words)).toContain(answer);
        server.pause();
        // A process of several threads stops a moment after it was told to.
        await vi.waitFor(async () => expect(await say(server, words)).toBeUndefined());
        server.resume();
        expect(await say(server, words)).toContain(answer);
        await expect(server.start()).rejects.toThrow('is running');
        for (const leave of [server.kill, server.shutDown]) {
          await leave();
          await expect(say(server, words)).rejects.toThrow('ECONNREFUSED');
          await server.start();
          expect(await say(server, words)).toContain(answer);
        }
        server.pause();
      } finally {
        await server.stop();
      }
      await expect(say(server, words)).rejects.toThrow('ECONNREFUSED');
      await server.stop();
    },
  );
});

test.skipIf(missingRedis() !== undefined)('what Redis has answered survives its being killed', async () => {
  const server = await startRedis();
  try {
    await say(server, 'SET a b\r\n');
    await server.kill();
    await server.start();
    expect(await say(server, 'GET a\r\n')).toContain('b');
  } finally {
    await server.stop();
  }
});

test.skipIf(missingRedis() !== undefined)('a server that cannot start says why', async () => {
  await expect(startRedis({ config: { 'no-such-setting': '1' } })).rejects.toThrow(
    /redis-server is not ready.*no-such-setting/s,
  );
});
