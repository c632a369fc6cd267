/** Who is present, across nodes of every kind of broker: nodes that die, that sleep, and that meet in the wrong moment. */
import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Attendance, type Change, type Joined } from '../../services/channels/attendance.js';
import { BrokerError, type Members } from '../../src/broker/broker.js';
import { type Cluster, KINDS, until } from '../support/brokers.js';

const TTL_MS = 1_200;

describe.each(KINDS.filter(({ missing }) => missing === undefined))('on $kind', ({ start }) => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await start();
    return () => cluster.close();
  });

  /** Nodes of one space. What they tell is told to all of them, in `told`. */
  function open(count: number, options: { members?: (real: Members) => Members; ttlMs?: number } = {}) {
    const space = `space-${randomUUID()}`;
    const told: string[] = [];
    const failures = { left: 0 };
    const reported: unknown[] = [];
    const nodes = Array.from({ length: count }, (_, index) => {
      const real = cluster.nodes[index % 2 === 0 ? 0 : 1].members;
      return new Attendance({
        members: options.members?.(real) ?? real,
        space,
        ttlMs: options.ttlMs ?? TTL_MS,
        report: (error) => reported.push(error),
        tell: async ({ kind, user, value }: Change) => {
          if (failures.left > 0) {
            failures.left -= 1;
            throw new BrokerError('no answer');
          }
          told.push(`${user} ${kind}${kind === 'left' ? '' : ` ${value}`}`);
        },
      });
    });
    onTestFinished(() => {
      for (const node of nodes) node.close();
      expect(reported).toEqual([]);
    });
    return { nodes, told, failures };
  }

  const join = async (node: Attendance | undefined, user: string, value = '', lingerMs = 0) => {
    const joined = await node?.join('room', user, {
      value: (before) => value || before || '-',
      capacity: 100,
      lingerMs,
    });
    return stayOf(joined as Joined);
  };
  const stayOf = (joined: Joined) => {
    if (joined.isFull) throw new Error('the room is full');
    return joined.stay;
  };
  const users = async (node: Attendance | undefined) =>
    (await node?.list('room'))?.map(({ member, value }) => `${member} ${value}`);

  test('a user joins once and leaves once, with streams on several nodes', async () => {
    const { nodes, told } = open(2);
    const [one, other] = nodes;
    const stays = [await join(one, 'ada', 'a'), await join(other, 'ada'), await join(one, 'ada')];
    expect(stays.map(({ isFirst }) => isFirst)).toEqual([true, false, false]);
    expect(await users(other)).toEqual(['ada a']);
    expect(await other?.count('room')).toBe(1);
    expect(await stays[0]?.leave()).toBe(false);
    expect(await stays[2]?.leave()).toBe(false);
    expect(await stays[2]?.leave()).toBe(false);
    expect(await users(one)).toEqual(['ada a']);
    expect(await stays[1]?.leave()).toBe(true);
    expect(await users(one)).toEqual([]);
    expect(told).toEqual(['ada joined a', 'ada left']);
  });

  test('those of a node that dies have left, each told once, unless another node has them too', async () => {
    const { nodes, told } = open(4);
    const [dying, ...others] = nodes;
    for (const user of ['ada', 'bob', 'eve']) await join(dying, user);
    await join(others[0], 'bob');
    // As a process that is killed: it renews nothing any more, and takes its leave of nobody.
    dying?.close();
    await until('the others have noticed', () => told.length >= 5);
    await new Promise((resolve) => setTimeout(resolve, TTL_MS));
    expect(told.slice(3).sort()).toEqual(['ada left', 'eve left']);
    expect(await users(others[1])).toEqual(['bob -']);
  });

  test('leases are renewed for as long as somebody is there', async () => {
    const { nodes, told } = open(2);
    const stay = await join(nodes[0], 'ada');
    await new Promise((resolve) => setTimeout(resolve, 2.5 * TTL_MS));
    expect(await users(nodes[1])).toEqual(['ada -']);
    expect(told).toEqual(['ada joined -']);
    expect(await stay.leave()).toBe(true);
  });

  test('who comes back while the leave lingers has not been away, and who does not has left', async () => {
    const { nodes, told } = open(2);
    const first = await join(nodes[0], 'ada', 'a', 400);
    expect(await first.leave()).toBe(false);
    expect(await users(nodes[1])).toEqual(['ada a']);
    const second = await join(nodes[1], 'ada', '', 400);
    expect(second.isFirst).toBe(false);
    await new Promise((resolve) => setTimeout(resolve, 800));
    expect(await users(nodes[1])).toEqual(['ada a']);
    await second.leave();
    await until('the leave is told', () => told.length >= 2);
    expect(told).toEqual(['ada joined a', 'ada left']);
    expect(await users(nodes[1])).toEqual([]);
  });

  test('a node that slept for longer than a lease says again who is there', async () => {
    let asleep = false;
    const { nodes, told } = open(2, {
      members: (real) => ({
        ...real,
        put: (...args) => (asleep ? Promise.reject(new BrokerError('asleep')) : real.put(...args)),
      }),
    });
    const stay = await join(nodes[0], 'ada');
    asleep = true;
    await until('the lease has ended', () => told.length === 2);
    asleep = false;
    await until('it was taken again', () => told.length === 3);
    expect(told).toEqual(['ada joined -', 'ada left', 'ada joined -']);
    expect(await stay.leave()).toBe(true);
  });

  test('a leave that could not be told is told later', async () => {
    const { nodes, told, failures } = open(1);
    const stay = await join(nodes[0], 'ada');
    failures.left = 2;
    await stay.leave();
    await until('it was told', () => told.length === 2);
    expect(told).toEqual(['ada joined -', 'ada left']);
  });

  test('a join that could not be told is taken back', async () => {
    const { nodes, told, failures } = open(1);
    failures.left = 1;
    await expect(join(nodes[0], 'ada')).rejects.toThrow(BrokerError);
    expect(await users(nodes[0])).toEqual([]);
    expect((await join(nodes[0], 'ada')).isFirst).toBe(true);
    expect(told).toEqual(['ada joined -']);
  });

  test('who comes in the moment in which the last stream ends is present afterwards', async () => {
    // The other node joins between the look for other holders and the removal.
    let meanwhile: (() => Promise<unknown>) | undefined;
    const { nodes, told } = open(2, {
      members: (real) => ({
        ...real,
        remove: async (set, member) => {
          if (set.includes('/present/')) await meanwhile?.();
          return real.remove(set, member);
        },
      }),
    });
    const stay = await join(nodes[0], 'ada');
    meanwhile = () => join(nodes[1], 'ada', 'b');
    expect(await stay.leave()).toBe(true);
    expect(told).toEqual(['ada joined -', 'ada left', 'ada joined b']);
    expect(await users(nodes[0])).toEqual(['ada b']);
  });

  test('there is never more than the capacity', async () => {
    const { nodes } = open(2);
    const options = { value: () => '', capacity: 3, lingerMs: 0 };
    const joining = Array.from({ length: 20 }, (_, n) => nodes[n % 2]?.join('room', `u${n}`, options));
    const joined = (await Promise.all(joining)).filter((each) => each?.isFull === false);
    expect(joined.length).toBeLessThanOrEqual(3);
    expect(await nodes[0]?.count('room')).toBe(joined.length);
  });

  test('coming and going of one user stays in order, however fast', async () => {
    const { nodes, told } = open(1);
    const coming = Array.from({ length: 30 }, async () => {
      const stay = await join(nodes[0], 'ada');
      await stay.leave();
    });
    await Promise.all(coming);
    expect(told.filter((_, index) => index % 2 === 0).every((each) => each === 'ada joined -')).toBe(true);
    expect(told.filter((_, index) => index % 2 === 1).every((each) => each === 'ada left')).toBe(true);
    expect(told.length % 2).toBe(0);
    expect(await users(nodes[0])).toEqual([]);
  });
});
