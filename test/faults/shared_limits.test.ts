/** Two nodes that share a Redis count together; without it each goes on by itself. */
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { type RunningGateway, startGateway, tokenFor } from '../support/gateway.js';
import { PROBE_PROTO, type Probe, startProbe } from '../support/probe.js';
import { missingRedis, startRedis, type TestServer } from '../support/servers.js';

describe.skipIf(missingRedis() !== undefined)('with a Redis broker', () => {
  let probe: Probe;
  let redis: TestServer;
  let nodes: RunningGateway[] = [];
  beforeAll(async () => {
    probe = await startProbe();
    redis = await startRedis();
  });
  afterAll(async () => {
    await redis.stop();
    probe.kill();
  });
  afterEach(async () => {
    await Promise.all(nodes.map((node) => node.close()));
    nodes = [];
  });

  async function start(count: number, ...flags: string[]): Promise<void> {
    const all = ['--proto', PROBE_PROTO, '--broker', redis.url, ...flags];
    nodes = await Promise.all(Array.from({ length: count }, () => startGateway(probe.address, all)));
  }
  const ask = async (node: RunningGateway | undefined, subject: string): Promise<number> => {
    const headers = { authorization: `Bearer ${tokenFor(subject, ['secrets:read'])}` };
    return (await fetch(`http://127.0.0.1:${node?.port}/v1/secret/ok`, { headers })).status;
  };
  /** Calls one after the other until one is refused, at most `most`; how many were served. */
  const until429 = async (
    node: RunningGateway | undefined,
    subject: string,
    most: number,
  ): Promise<number> => {
    for (let served = 0; served < most; served++) if ((await ask(node, subject)) === 429) return served;
    return most;
  };

  test('a caller that uses up its limit on one node is blocked on the other as soon as that hears of it', async () => {
    await start(2, '--requests', '20');
    const [one, two] = nodes;
    // Within the rate of either node, but twice as much as may be on both together.
    let refused = 0;
    for (let n = 0; n < 400 && refused === 0; n++) {
      const seen = await Promise.all([ask(one, 'u1'), ask(two, 'u1')]);
      if (seen.every((status) => status === 200)) await new Promise((resolve) => setTimeout(resolve, 60));
      else refused++;
    }
    expect(refused).toBe(1);
    await vi.waitFor(async () => expect([await ask(one, 'u1'), await ask(two, 'u1')]).toEqual([429, 429]));
    expect(await ask(one, 'u2')).toBe(200);
    await vi.waitFor(async () => expect(await ask(two, 'u1')).toBe(200), { timeout: 8000, interval: 200 });
  }, 60_000);

  test('each node counts for itself when it is told to', async () => {
    await start(2, '--requests', '20', '--no-shared-limits');
    let served = 0;
    for (let n = 0; n < 110; n++) {
      const seen = await Promise.all([ask(nodes[0], 'u3'), ask(nodes[1], 'u3')]);
      served += seen.filter((status) => status === 200).length;
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    expect(served).toBe(220);
  }, 60_000);

  test('a node goes on by its own buckets when Redis is away, and shares again when it is back', async () => {
    await start(1, '--requests', '10');
    await redis.kill();
    expect(await until429(nodes[0], 'u4', 500)).toBeGreaterThanOrEqual(10);
    await vi.waitFor(async () => expect(await ask(nodes[0], 'u4')).toBe(200), { timeout: 3000 });
    await redis.start();
    await vi.waitFor(async () => expect(await ask(nodes[0], 'u5')).toBe(200), { timeout: 3000 });
  }, 60_000);
});
