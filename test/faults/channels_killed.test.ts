/** Instances of the Channels service as processes over one broker, and what becomes of their callers when one of them is killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Event, JoinRequest, PresenceEvent_Type } from '../../gen/tidegate/v1/channels.js';
import { SERVERS } from '../support/brokers.js';
import { stop } from '../support/command.js';
import { ROOT } from '../support/probe.js';
import type { TestServer } from '../support/servers.js';
import { accepted, as, ask, connect, take } from '../support/services_client.js';

const { JOINED, LEFT } = PresenceEvent_Type;

const SCRIPT = `
  import { openBroker } from '${ROOT}dist/src/broker/open.js';
  import { startChannels } from '${ROOT}dist/services/channels/serve.js';
  const broker = await openBroker(process.argv[1]);
  const rules = [{ match: '*', publish: 'public', subscribe: 'public', presence: 'public', join: 'authenticated' }];
  const server = await startChannels({ broker, rules, presenceTtlMs: 1500 });
  console.log('at ' + server.address);
`;

describe.each(SERVERS.filter(({ missing }) => missing === undefined))('over $kind', ({ startServer }) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer();
    return () => server.stop();
  });

  /** A process, and a client of it. */
  async function start() {
    const args = ['--input-type=module', '-e', SCRIPT, server.url];
    const child: ChildProcess = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(async () => void (await stop(child, 'SIGKILL')));
    const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
    const client = connect(/^at (\S+)$/m.exec(line.toString())?.[1] ?? '');
    onTestFinished(() => client.close());
    return { channels: client.channels, child };
  }

  test('those who were present by it have left, each told once, and the others stay', async () => {
    const [dying, other] = [await start(), await start()];
    const channel = 'room';
    const watching = other.channels.watchPresence({ channel, after: undefined });
    await accepted(watching);
    const join = async (at: typeof dying, user: string) => {
      const stream = at.channels.join(JoinRequest.fromPartial({ channel }), as(user));
      await take(stream, 1);
      return stream;
    };
    const streams = [await join(dying, 'ada'), await join(dying, 'bob'), await join(other, 'bob')];
    expect(await take(watching, 2)).toMatchObject([{ type: JOINED }, { type: JOINED }]);
    dying.child.kill('SIGKILL');
    expect(await take(watching, 1)).toMatchObject([{ type: LEFT, member: { user: 'ada' } }]);
    const eve = await join(other, 'eve');
    expect(await take(watching, 1)).toMatchObject([{ type: JOINED, member: { user: 'eve' } }]);
    const query = { channel, pageSize: 0, pageToken: '', countOnly: false };
    const { members } = await ask(other.channels, other.channels.presence, query);
    expect(members.map(({ user }) => user)).toEqual(['bob', 'eve']);
    for (const stream of [streams[2], eve, watching]) stream?.cancel();
  });

  test('a subscriber goes on at another one where it was, and misses nothing', async () => {
    const [dying, other] = [await start(), await start()];
    const seen: Event[] = [];
    const subscribe = (at: typeof dying, after: string | undefined) => {
      const stream = at.channels.subscribe({ channel: 'news', channels: [], after });
      const done = (async () => {
        for await (const event of stream) seen.push(event as Event);
      })().catch((error: { code: number }) => error.code);
      return { stream, done };
    };
    const first = subscribe(dying, undefined);
    await accepted(first.stream);
    const publish = (n: number) =>
      ask(other.channels, other.channels.publish, { channel: 'news', data: n, type: '', idempotencyKey: '' });
    let killed: Promise<unknown> | undefined;
    for (let n = 0; n < 400; n += 1) {
      await publish(n);
      if (n === 200) {
        dying.child.kill('SIGKILL');
        killed = first.done;
      }
    }
    expect(await killed).toBe(14);
    expect(seen.length).toBeGreaterThan(0);
    const second = subscribe(other, seen.at(-1)?.position);
    while (seen.at(-1)?.data !== 399) await new Promise((resolve) => setTimeout(resolve, 5));
    second.stream.cancel();
    expect(seen.map(({ data }) => data)).toEqual(Array.from({ length: 400 }, (_, n) => n));
  });
});
