/** One list of behaviours, tried on every door. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { DOORS, type DoorClient } from './support/door_clients.js';
import { type RunningGateway, startGateway, tokenFor } from './support/gateway.js';
import { type Probe, startProbe } from './support/probe.js';

/** A JSON array has no place for an error: once begun, it is cut. */
const endsWith = (door: DoorClient, code: number): number | 'cut' =>
  door.name === 'JSON array' ? 'cut' : code;

describe.each(DOORS)('$name', (door) => {
  /** A test for the doors that receive a stream; for the others it does not exist, rather than being skipped. */
  const onStreams = (title: string, body: () => Promise<void>): void => {
    if (door.streams) test(title, body);
  };
  let probe: Probe;
  let gateway: RunningGateway;
  beforeAll(async () => {
    probe = await startProbe();
    gateway = await startGateway(probe.address);
  });
  afterAll(async () => {
    await gateway.close();
    probe.kill();
  });
  beforeEach(() => {
    probe.cancelled.length = 0;
    probe.sent = 0;
  });

  test('answers with the reply of the service, to its end', async () => {
    const { messages, code } = await door.open(gateway.port, '/v1/probe/ok').outcome;
    expect(code).toBe(0);
    expect(messages).toHaveLength(door.streams ? 3 : 1);
    expect(messages.at(-1)).toMatchObject({ sequence: door.streams ? '3' : '1', text: 'ok' });
  });

  test('shows a refusal of the service with its code, message and details', async () => {
    const outcome = await door.open(gateway.port, '/v1/probe/fail').outcome;
    expect(outcome).toMatchObject({ code: 9, message: 'the probe refuses', messages: [] });
    expect(outcome.details[0]).toEqual({
      '@type': 'type.googleapis.com/google.rpc.BadRequest',
      fieldViolations: [{ field: 'mode', description: 'asks for a failure' }],
    });
    // Over HTTP the request id comes with it; the frames of a WebSocket have ids of their own.
    if (outcome.http !== undefined) {
      expect(outcome.details.slice(1)).toEqual([
        { '@type': 'type.googleapis.com/google.rpc.RequestInfo', requestId: expect.stringMatching(/./) },
      ]);
    } else expect(outcome.details).toHaveLength(1);
    if (outcome.http !== undefined) expect(outcome.http).toBe(400);
  });

  onStreams('shows a failure in mid-stream after the messages that came before it', async () => {
    const outcome = await door.open(gateway.port, '/v1/probe/fail-late').outcome;
    expect(outcome.messages).toHaveLength(3);
    expect(outcome.code).toBe(endsWith(door, 9));
  });

  test('refuses a call without a token', async () => {
    const outcome = await door.open(gateway.port, '/v1/secret/ok').outcome;
    expect(outcome).toMatchObject({ code: 16, messages: [] });
    if (outcome.http !== undefined) expect(outcome.http).toBe(401);
  });

  test('refuses a token that is not valid, also for what is public', async () => {
    const outcome = await door.open(gateway.port, '/v1/probe/ok', { token: `${tokenFor('u1')}x` }).outcome;
    expect(outcome.messages).toEqual([]);
    // A multiplexed socket whose hello is refused is closed as a whole: get a new token first.
    if (outcome.code === 'cut') expect(outcome.close).toBeGreaterThanOrEqual(4300);
    else expect(outcome.code).toBe(16);
  });

  test('refuses a caller without the permission, naming it', async () => {
    const outcome = await door.open(gateway.port, '/v1/secret/ok', { token: tokenFor('u1') }).outcome;
    expect(outcome).toMatchObject({ code: 7, messages: [] });
    expect(outcome.message).toContain('secrets:read');
    if (outcome.http !== undefined) expect(outcome.http).toBe(403);
  });

  test('lets a caller with the permission in and tells the service who calls', async () => {
    const token = tokenFor('u1', ['secrets:*']);
    const { messages, code } = await door.open(gateway.port, '/v1/secret/ok', { token }).outcome;
    expect(code).toBe(0);
    expect(messages[0]).toMatchObject({ seen: { 'x-user-id': 'u1', 'x-permissions': 'secrets:*' } });
  });

  test('cancels the call of the service within a second after the client has gone', async () => {
    const mode = door.streams ? 'open' : 'silent';
    const session = door.open(gateway.port, `/v1/probe/${mode}`);
    if (door.streams) await session.first;
    else await vi.waitFor(() => expect(probe.running).toBe(1));
    session.leave();
    await vi.waitFor(() => expect(probe.cancelled).toEqual([mode]), { timeout: 1000, interval: 10 });
  });

  onStreams('stops the service through flow control while the client does not read', async () => {
    const session = door.open(gateway.port, '/v1/probe/flood?count=100000&bytes=1000', { stalled: true });
    await vi.waitFor(() => expect(probe.sent).toBeGreaterThan(10));
    let before = -1;
    await vi.waitFor(
      () => {
        const now = probe.sent;
        const still = now === before;
        before = now;
        expect(still).toBe(true);
      },
      { timeout: 8000, interval: 300 },
    );
    await sleep(500);
    expect(probe.sent).toBe(before);
    // Socket buffers of the kernel hold a few MB on each side; the whole flood would be 100 MB.
    expect(probe.sent).toBeLessThan(30_000);
    session.leave();
    await vi.waitFor(() => expect(probe.cancelled).toEqual(['flood']), { timeout: 1000, interval: 10 });
  });

  test('answers for a silent service when the deadline has passed, and cancels its call', async () => {
    const before = Date.now();
    const outcome = await door.open(gateway.port, '/v1/probe/silent', { timeoutMs: 400 }).outcome;
    expect(outcome.code).toBe(endsWith(door, 4));
    expect(Date.now() - before).toBeGreaterThanOrEqual(390);
    await vi.waitFor(() => expect(probe.running).toBe(0), { timeout: 1000 });
  });
});

describe.each(DOORS)('$name, when things go down', (door) => {
  let probe: Probe;
  let gateway: RunningGateway;
  beforeEach(async () => {
    probe = await startProbe();
    gateway = await startGateway(probe.address);
  });
  afterEach(async () => {
    await gateway.close();
    probe.kill();
  });

  test('says UNAVAILABLE when the service is down, and not where it was', async () => {
    probe.kill();
    const outcome = await door.open(gateway.port, '/v1/probe/ok').outcome;
    expect(outcome.code).toBe(14);
    expect(JSON.stringify(outcome)).not.toContain(probe.address.split(':')[1]);
    if (outcome.http !== undefined) expect(outcome.http).toBe(503);
  });

  test('never lets a call look complete whose service died under it', async () => {
    const session = door.open(gateway.port, `/v1/probe/${door.streams ? 'open' : 'silent'}`);
    if (door.streams) await session.first;
    else await vi.waitFor(() => expect(probe.running).toBe(1));
    probe.kill();
    const { code } = await session.outcome;
    expect(code).toBe(endsWith(door, 14));
  });

  test('tells its clients when the gateway shuts down', async () => {
    const session = door.open(gateway.port, `/v1/probe/${door.streams ? 'open' : 'silent'}`);
    if (door.streams) await session.first;
    else await vi.waitFor(() => expect(probe.running).toBe(1));
    const before = Date.now();
    const closed = gateway.close();
    const outcome = await session.outcome;
    await closed;
    expect(Date.now() - before).toBeLessThan(4000);
    if (outcome.code === 'cut' && outcome.close !== undefined) expect(outcome.close).toBe(4200);
    else expect(outcome.code).toBe(endsWith(door, 14));
    await vi.waitFor(() => expect(probe.running).toBe(0), { timeout: 1000 });
  });
});
