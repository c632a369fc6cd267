/** The interceptors: who may call, what services are told of it, when a call is over, and who hears of that. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Call, Invoke, Message, Metadata, Reply } from '../src/call.js';
import { chain } from '../src/call.js';
import type { Access } from '../src/method.js';
import { allowed, authorize, covers, type Decision } from '../src/policy/authorize.js';
import { deadline } from '../src/policy/deadline.js';
import { identity } from '../src/policy/identity.js';
import { type CallEnd, observe } from '../src/policy/observe.js';
import { ANONYMOUS, type Principal } from '../src/principal.js';
import { Code, StatusError } from '../src/status.js';
import { rawCall, rawMethod } from './support/raw_server.js';

const bytes = (text: string): Message => Buffer.from(text);
const single: Reply = { headers: {}, messages: bytes('ok'), trailers: () => ({}) };

interface Given extends Partial<Omit<Principal, 'permissions' | 'roles'>> {
  readonly permissions?: readonly string[];
  readonly roles?: readonly string[];
}

function principal(given: Given): Principal {
  const { permissions = [], roles = [], ...rest } = given;
  return {
    subject: 'u1',
    issuedAt: undefined,
    expiresAt: undefined,
    claims: {},
    ...rest,
    permissions: new Set(permissions),
    roles: new Set(roles),
  };
}

function callWith(access: Partial<Access>, caller: Principal): Call {
  const method = { ...rawMethod('unary'), access: { public: false, permissions: [], roles: [], ...access } };
  return rawCall('unary', { method, principal: caller });
}

async function failure(promise: Promise<unknown>): Promise<StatusError> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof StatusError) return thrown;
    throw thrown;
  }
  throw new Error('it did not fail');
}

/** A reply stream under the test's hands. */
function handStream(): {
  reply: Reply;
  push(text: string): void;
  end(error?: StatusError): void;
  returned: () => number;
} {
  const results: (IteratorResult<Message, undefined> | StatusError)[] = [];
  let wake: (() => void) | undefined;
  let returned = 0;
  const put = (result: IteratorResult<Message, undefined> | StatusError): void => {
    results.push(result);
    wake?.();
  };
  const messages: AsyncIterableIterator<Message> = {
    async next() {
      while (results.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const result = results.shift() as IteratorResult<Message, undefined> | StatusError;
      if (result instanceof StatusError) throw result;
      return result;
    },
    async return() {
      returned++;
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
  return {
    reply: { headers: {}, messages, trailers: () => ({}) },
    push: (text) => put({ done: false, value: bytes(text) }),
    end: (error) => put(error ?? { done: true, value: undefined }),
    returned: () => returned,
  };
}

const iterate = (reply: Reply): AsyncIterator<Message> =>
  (reply.messages as AsyncIterable<Message>)[Symbol.asyncIterator]();

describe('authorize', () => {
  const now = 1_000_000;
  const someone = principal({});
  const table: [string, Partial<Access>, Principal, Decision][] = [
    ['without an option, nobody', {}, ANONYMOUS, 'token_required'],
    ['without an option, any token', {}, someone, 'allowed'],
    ['public, nobody', { public: true }, ANONYMOUS, 'allowed'],
    ['public, a token', { public: true }, someone, 'allowed'],
    ['public, an expired token', { public: true }, principal({ expiresAt: now }), 'token_expired'],
    ['expired at this moment', {}, principal({ expiresAt: now }), 'token_expired'],
    ['expires in a moment', {}, principal({ expiresAt: now + 1 }), 'allowed'],
    ['permission, nobody', { permissions: ['a:b'] }, ANONYMOUS, 'token_required'],
    ['permission, none', { permissions: ['a:b'] }, someone, 'permission_missing'],
    ['permission, the same', { permissions: ['a:b'] }, principal({ permissions: ['a:b'] }), 'allowed'],
    [
      'permissions, one of two',
      { permissions: ['a', 'b'] },
      principal({ permissions: ['a'] }),
      'permission_missing',
    ],
    ['permissions, both', { permissions: ['a', 'b'] }, principal({ permissions: ['b', 'a'] }), 'allowed'],
    ['permissions, all', { permissions: ['a:b', 'c'] }, principal({ permissions: ['*'] }), 'allowed'],
    ['role, none', { roles: ['admin'] }, someone, 'role_missing'],
    [
      'role, as a permission',
      { roles: ['admin'] },
      principal({ permissions: ['admin', '*'] }),
      'role_missing',
    ],
    ['roles, one of two', { roles: ['admin', 'staff'] }, principal({ roles: ['staff'] }), 'allowed'],
    [
      'role and permission, role only',
      { roles: ['r'], permissions: ['p'] },
      principal({ roles: ['r'] }),
      'permission_missing',
    ],
    [
      'role and permission, permission only',
      { roles: ['r'], permissions: ['p'] },
      principal({ permissions: ['p'] }),
      'role_missing',
    ],
    ['public with a permission, nobody', { public: true, permissions: ['p'] }, ANONYMOUS, 'token_required'],
    ['public with a role, nobody', { public: true, roles: ['r'] }, ANONYMOUS, 'token_required'],
  ];
  test.each(table)('%s: decided', (_, access, caller, decision) => {
    expect(allowed({ public: false, permissions: [], roles: [], ...access }, caller, now)).toBe(decision);
  });

  const grants: [string, string, boolean][] = [
    ['orders:read', 'orders:read', true],
    ['orders:*', 'orders:read', true],
    ['orders:*', 'orders:a:b', true],
    ['orders:*', 'orders:', true],
    ['orders:*', 'orders', false],
    ['orders:*', 'ordersx:read', false],
    ['orders:a:*', 'orders:a:b', true],
    ['orders:a:*', 'orders:b', false],
    ['orders*', 'orders:read', false],
    ['*:read', 'orders:read', false],
    ['*', 'anything', true],
    ['*', '*', true],
    ['orders:read', 'orders:*', false],
    ['orders:*', '*', false],
    ['', 'orders', false],
    ['Orders:*', 'orders:read', false],
  ];
  test.each(grants)('%j granted, %j demanded: %j', (granted, demanded, expected) => {
    expect(covers(new Set([granted]), demanded)).toBe(expected);
  });

  test('a wildcard covers exactly what its docstring says', () => {
    const part = fc.constantFrom('a', 'b', '*', '');
    const permission = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(':'));
    const says = (granted: string, demanded: string): boolean =>
      granted === demanded ||
      granted === '*' ||
      (granted.endsWith(':*') && demanded.startsWith(granted.slice(0, -1)));
    fc.assert(
      fc.property(fc.array(permission, { maxLength: 4 }), permission, (granted, demanded) => {
        expect(covers(new Set(granted), demanded)).toBe(granted.some((each) => says(each, demanded)));
      }),
    );
  });

  test('more permissions never take a right away', () => {
    const permission = fc.stringMatching(/^[ab*:]{1,5}$/);
    const set = fc.array(permission, { maxLength: 5 });
    fc.assert(
      fc.property(set, permission, set, (granted, more, demanded) => {
        const access = { public: false, permissions: demanded, roles: [] };
        if (allowed(access, principal({ permissions: granted })) !== 'allowed') return;
        expect(allowed(access, principal({ permissions: [...granted, more] }))).toBe('allowed');
      }),
    );
  });

  test('says what is missing, and asks nobody inside', async () => {
    let asked = 0;
    const invoke = chain([authorize()], async () => {
      asked++;
      return single;
    });
    const refused = async (access: Partial<Access>, caller: Principal): Promise<[number, string]> => {
      const { code, message } = await failure(invoke(callWith(access, caller)));
      return [code, message];
    };
    expect(await refused({}, ANONYMOUS)).toEqual([Code.UNAUTHENTICATED, 'a token is required']);
    expect(await refused({}, principal({ expiresAt: Date.now() - 60_000 }))).toEqual([
      Code.UNAUTHENTICATED,
      'the token has expired',
    ]);
    const abc = { permissions: ['a:x', 'b:x', 'c:x'] };
    expect(await refused(abc, principal({ permissions: ['b:*'] }))).toEqual([
      Code.PERMISSION_DENIED,
      'missing permissions: a:x, c:x',
    ]);
    expect(await refused({ permissions: ['a'] }, someone)).toEqual([
      Code.PERMISSION_DENIED,
      'missing permission: a',
    ]);
    expect(await refused({ roles: ['admin'] }, someone)).toEqual([
      Code.PERMISSION_DENIED,
      'missing role: admin',
    ]);
    expect(await refused({ roles: ['admin', 'staff'] }, someone)).toEqual([
      Code.PERMISSION_DENIED,
      'missing one of the roles: admin, staff',
    ]);
    expect(asked).toBe(0);
    expect(await invoke(callWith({}, someone))).toBe(single);
  });

  test('allows for clocks that differ, as the verification of tokens does', async () => {
    const caller = principal({ expiresAt: Date.now() - 10_000 });
    expect(await chain([authorize()], async () => single)(callWith({}, caller))).toBe(single);
    const strict = chain([authorize({ leewayMs: 0 })], async () => single);
    expect(await failure(strict(callWith({}, caller)))).toMatchObject({ code: Code.UNAUTHENTICATED });
  });
});

describe('identity', () => {
  const seen = async (given: Partial<Call>): Promise<Metadata> => {
    let metadata: Metadata = {};
    const invoke = chain([identity()], async (call) => {
      metadata = call.metadata;
      return single;
    });
    await invoke(rawCall('unary', given));
    return metadata;
  };
  const forged = {
    'x-user-id': 'root',
    'X-User-Id': 'root',
    'X-PERMISSIONS': ['*', 'a'],
    'x-Auth-Issued-At': '1',
    'X-Request-ID': 'mine',
    authorization: 'Bearer t',
    'x-tenant': ['a', 'b'],
    x: '1',
  };

  test('takes what the client says of its identity away, in any casing', async () => {
    expect(await seen({ metadata: forged })).toEqual({
      authorization: 'Bearer t',
      'x-tenant': ['a', 'b'],
      x: '1',
      'x-request-id': 'r1',
    });
  });

  test('says what the token says', async () => {
    const caller = principal({
      subject: 'user-7',
      permissions: ['orders:read', 'chat:*', 'a'],
      issuedAt: 1_700_000_000,
    });
    const expected = {
      authorization: 'Bearer t',
      'x-tenant': ['a', 'b'],
      x: '1',
      'x-request-id': 'r1',
      'x-user-id': 'user-7',
      'x-permissions': 'a,chat:*,orders:read',
      'x-auth-issued-at': '1700000000',
    };
    expect(await seen({ metadata: forged, principal: caller })).toEqual(expected);
    expect(await seen({ metadata: forged, principal: caller })).toEqual(expected);
  });

  test('says nothing of a time that the token does not have', async () => {
    expect(await seen({ principal: principal({}) })).toEqual({
      'x-user-id': 'u1',
      'x-permissions': '',
      'x-request-id': 'r1',
    });
  });

  test('gives values that metadata can carry and that decode to what the token said', async () => {
    const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(text, fc.uniqueArray(text, { maxLength: 4 }), async (subject, permissions) => {
        const metadata = await seen({ principal: principal({ subject, permissions }) });
        const [user, list] = [metadata['x-user-id'] as string, metadata['x-permissions'] as string];
        expect(user + list).toMatch(/^[!-~]*$/);
        expect(decodeURIComponent(user)).toBe(subject);
        const decoded = list === '' ? [] : list.split(',').map(decodeURIComponent);
        expect(decoded).toEqual([...permissions].sort());
      }),
      { numRuns: 200 },
    );
    const lone = await seen({ principal: principal({ subject: 'a\ud800b' }) });
    expect(lone['x-user-id']).toBe('a%EF%BF%BDb');
  });

  test('leaves the metadata of the call as it was', async () => {
    const metadata = Object.freeze({ a: '1' });
    await seen({ metadata, principal: principal({}) });
    expect(metadata).toEqual({ a: '1' });
  });
});

describe('deadline', () => {
  const never: Invoke = () => new Promise(() => {});
  const timers = (): number => process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;

  test('a call without one passes untouched', async () => {
    const call = rawCall('unary');
    let inner: Call | undefined;
    await chain([deadline()], async (it) => {
      inner = it;
      return single;
    })(call);
    expect(inner).toBe(call);
  });

  test('one that has passed refuses the call before anything is asked', async () => {
    let asked = false;
    const invoke = chain([deadline()], async () => {
      asked = true;
      return single;
    });
    const error = await failure(invoke(rawCall('unary', { deadline: Date.now() - 1 })));
    expect(error).toMatchObject({ code: Code.DEADLINE_EXCEEDED });
    expect(asked).toBe(false);
  });

  test('one that passes answers even if nothing inside does, and aborts the inner signal', async () => {
    let inner: AbortSignal | undefined;
    const invoke = chain([deadline()], (call) => {
      inner = call.signal;
      return never(call);
    });
    const at = Date.now();
    const error = await failure(invoke(rawCall('unary', { deadline: at + 60 })));
    expect(error).toMatchObject({
      code: Code.DEADLINE_EXCEEDED,
      message: 'the deadline passed before the call ended',
    });
    expect(Date.now()).toBeGreaterThanOrEqual(at + 60);
    expect(inner?.reason).toBe(error);
  });

  test('one far beyond the longest timer does not fire at once', async () => {
    // Those of the tests before may still be running out.
    let before = -1;
    while (before !== timers()) {
      before = timers();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const stream = handStream();
    const call = rawCall('serverStream', { deadline: Date.now() + 2 ** 33 });
    const messages = iterate(await chain([deadline()], async () => stream.reply)(call));
    setTimeout(() => stream.push('a'), 20);
    expect(Buffer.from((await messages.next()).value as Message).toString()).toBe('a');
    expect(timers()).toBe(before + 1);
    await messages.return?.();
    expect(stream.returned()).toBe(1);
    expect(timers()).toBe(before);
  });

  test('the client leaving reaches the inner signal with its reason, and the caller', async () => {
    const controller = new AbortController();
    let inner: AbortSignal | undefined;
    const invoke = chain([deadline()], (call) => {
      inner = call.signal;
      return never(call);
    });
    const before = timers();
    const { signal } = controller;
    const outcome = failure(invoke(rawCall('unary', { signal, deadline: Date.now() + 60_000 })));
    const reason = new StatusError(Code.CANCELLED, 'the client left');
    controller.abort(reason);
    expect(await outcome).toBe(reason);
    expect(inner?.reason).toBe(reason);
    expect(timers()).toBe(before);
    const late = rawCall('unary', { signal, deadline: Date.now() + 60_000 });
    expect(await failure(invoke(late))).toBe(reason);
  });

  test('a failure inside passes, and leaves no timer', async () => {
    const before = timers();
    const bad = new StatusError(Code.NOT_FOUND, 'no such order');
    const invoke = chain([deadline()], () => Promise.reject(bad));
    expect(await failure(invoke(rawCall('unary', { deadline: Date.now() + 60_000 })))).toBe(bad);
    await chain([deadline()], async () => single)(rawCall('unary', { deadline: Date.now() + 60_000 }));
    expect(timers()).toBe(before);
  });

  test('covers a stream while its reader waits', async () => {
    const stream = handStream();
    const call = rawCall('serverStream', { deadline: Date.now() + 60 });
    const messages = iterate(await chain([deadline()], async () => stream.reply)(call));
    stream.push('a');
    await messages.next();
    expect(await failure(messages.next())).toMatchObject({ code: Code.DEADLINE_EXCEEDED });
    expect(await messages.next()).toEqual({ done: true, value: undefined });
  });

  test('covers a stream while its reader is elsewhere: the next pull fails, no end is feigned', async () => {
    const stream = handStream();
    const call = rawCall('serverStream', { deadline: Date.now() + 40 });
    const messages = iterate(await chain([deadline()], async () => stream.reply)(call));
    stream.push('a');
    await messages.next();
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(await failure(messages.next())).toMatchObject({ code: Code.DEADLINE_EXCEEDED });
    expect(await messages.next()).toEqual({ done: true, value: undefined });
  });

  test('a stream that ends, or fails, in time leaves no timer', async () => {
    for (const error of [undefined, new StatusError(Code.DATA_LOSS, 'broken')]) {
      const before = timers();
      const stream = handStream();
      const call = rawCall('serverStream', { deadline: Date.now() + 60_000 });
      const messages = iterate(await chain([deadline()], async () => stream.reply)(call));
      stream.end(error);
      if (error) expect(await failure(messages.next())).toBe(error);
      else expect(await messages.next()).toEqual({ done: true, value: undefined });
      expect(timers()).toBe(before);
    }
  });

  test('a stream that is accepted too late is left', async () => {
    const stream = handStream();
    let accept!: (reply: Reply) => void;
    const invoke = chain(
      [deadline()],
      () =>
        new Promise<Reply>((resolve) => {
          accept = resolve;
        }),
    );
    const error = await failure(invoke(rawCall('serverStream', { deadline: Date.now() + 20 })));
    expect(error).toMatchObject({ code: Code.DEADLINE_EXCEEDED });
    accept(stream.reply);
    await new Promise(setImmediate);
    expect(stream.returned()).toBe(1);
  });
});

describe('observe', () => {
  function observed(innermost: Invoke): {
    invoke: Invoke;
    starts: Call[];
    accepted: number[];
    ends: CallEnd[];
  } {
    const starts: Call[] = [];
    const accepted: number[] = [];
    const ends: CallEnd[] = [];
    const observer = {
      start(call: Call) {
        starts.push(call);
        return { accepted: (ms: number) => accepted.push(ms), end: (end: CallEnd) => ends.push(end) };
      },
    };
    const onlyEnds = { start: () => ({ end() {} }) };
    return { invoke: chain([observe(observer, onlyEnds)], innermost), starts, accepted, ends };
  }
  const ok = { code: Code.OK, error: undefined };

  test('reports a call that is answered with one message', async () => {
    const { invoke, starts, accepted, ends } = observed(async (call) => {
      await (call.requests as () => Message)();
      return single;
    });
    const call = rawCall('unary');
    expect(await invoke(call)).toBe(single);
    expect(starts).toEqual([call]);
    expect(accepted).toHaveLength(1);
    expect(ends).toHaveLength(1);
    expect(ends[0]).toMatchObject({ ...ok, messagesIn: 1, messagesOut: 1, acceptedMs: accepted[0] });
    expect(ends[0]?.durationMs).toBeGreaterThanOrEqual(accepted[0] as number);
  });

  test('reports a call that is refused, whatever was thrown', async () => {
    for (const thrown of [new StatusError(Code.NOT_FOUND, 'no'), new Error('bug'), 'bug']) {
      const { invoke, accepted, ends } = observed(() => Promise.reject(thrown));
      await expect(invoke(rawCall('unary'))).rejects.toBe(thrown);
      expect(accepted).toEqual([]);
      expect(ends).toHaveLength(1);
      const code = thrown instanceof StatusError ? thrown.code : Code.INTERNAL;
      expect(ends[0]).toMatchObject({ code, acceptedMs: undefined, messagesIn: 0, messagesOut: 0 });
    }
  });

  test('counts the messages of both directions of a stream, and reports its end', async () => {
    async function* requests(): AsyncGenerator<Message> {
      for (const each of 'abc') yield bytes(each);
    }
    const { invoke, ends } = observed(async (call) => ({
      headers: {},
      trailers: () => ({ 'x-tail': '1' }),
      messages: (async function* () {
        for await (const message of call.requests as AsyncIterable<Message>) {
          yield message;
          yield message;
        }
      })(),
    }));
    const reply = await invoke(rawCall('bidi', { requests: requests() }));
    expect(ends).toEqual([]);
    let count = 0;
    for await (const _ of reply.messages as AsyncIterable<Message>) count++;
    expect(count).toBe(6);
    expect(reply.trailers()).toEqual({ 'x-tail': '1' });
    expect(ends).toHaveLength(1);
    expect(ends[0]).toMatchObject({ ...ok, messagesIn: 3, messagesOut: 6 });
  });

  test('reports a failure in mid-stream once, although the reader goes on', async () => {
    const stream = handStream();
    const { invoke, ends } = observed(async () => stream.reply);
    const messages = iterate(await invoke(rawCall('serverStream')));
    stream.push('a');
    await messages.next();
    const error = new StatusError(Code.DATA_LOSS, 'broken');
    stream.end(error);
    expect(await failure(messages.next())).toBe(error);
    stream.end();
    await messages.next();
    await messages.return?.();
    expect(ends).toHaveLength(1);
    expect(ends[0]).toMatchObject({ code: Code.DATA_LOSS, error, messagesOut: 1 });
  });

  test('reports a stream that its reader leaves, and leaves the service too', async () => {
    const stream = handStream();
    const { invoke, ends } = observed(async () => stream.reply);
    stream.push('a');
    for await (const _ of (await invoke(rawCall('serverStream'))).messages as AsyncIterable<Message>) break;
    expect(stream.returned()).toBe(1);
    expect(ends).toHaveLength(1);
    expect(ends[0]).toMatchObject({ code: Code.CANCELLED, messagesOut: 1 });
  });

  test('reports a client that left, even if nobody reads the stream', async () => {
    const stream = handStream();
    const { invoke, ends } = observed(async () => stream.reply);
    const controller = new AbortController();
    const reply = await invoke(rawCall('serverStream', { signal: controller.signal }));
    const reason = new StatusError(Code.UNAVAILABLE, 'the gateway is shutting down');
    controller.abort(reason);
    expect(ends).toHaveLength(1);
    expect(ends[0]).toMatchObject({ code: Code.UNAVAILABLE, error: reason });
    await iterate(reply).return?.();
    expect(ends).toHaveLength(1);
    const late = await invoke(rawCall('serverStream', { signal: controller.signal }));
    expect(ends).toHaveLength(2);
    await iterate(late).return?.();
  });

  test('lets the messages of the client go when the service does not want them', async () => {
    let returned = false;
    async function* requests(): AsyncGenerator<Message> {
      try {
        for (;;) yield bytes('a');
      } finally {
        returned = true;
      }
    }
    const { invoke, ends } = observed(async (call) => {
      for await (const _ of call.requests as AsyncIterable<Message>) break;
      return single;
    });
    await invoke(rawCall('clientStream', { requests: requests() }));
    expect(returned).toBe(true);
    expect(ends[0]).toMatchObject({ messagesIn: 1 });
  });
});
