/** Resource rules: a request must say in its fields what the caller's token says. Judged on the message itself, wherever it came from. */
import type { Interceptor, Message } from '../call.js';
import { claimOf, textsOfClaim } from '../claims.js';
import type { ClaimBinding, Method } from '../method.js';
import type { Principal } from '../principal.js';
import type { StatusError } from '../status.js';
import { covers } from './authorize.js';
import { type BoundField, createBoundField } from './bound_field.js';
import { AccessError, type DecisionRecord, NO_RECORD } from './decisions.js';

/** The bindings of a method, with their fields found. */
interface Compiled {
  readonly binding: ClaimBinding;
  readonly field: BoundField;
}

/** A binding that holds for this caller. */
interface Demand extends Compiled {
  readonly expected: readonly Buffer[];
}

const compiled = new WeakMap<Method, readonly Compiled[]>();

function bindingsOf(method: Method, bind: readonly ClaimBinding[]): readonly Compiled[] {
  const known = compiled.get(method);
  if (known !== undefined) return known;
  const made = bind.map((binding) => ({ binding, field: createBoundField(method.input, binding.field) }));
  compiled.set(method, made);
  return made;
}

/**
 * Refuses requests of methods with `access.bind` that do not say what they must: PERMISSION_DENIED, before the service hears of the
 * call; in a stream of requests when the message comes. A caller without the claim has nothing that it could say. All that a URL, a body or a
 * frame can do to a message has been done before it gets here.
 */
export function bindResources(record: DecisionRecord = NO_RECORD): Interceptor {
  return (next) => (call) => {
    const { bind } = call.method.access;
    if (bind === undefined || bind.length === 0) return next(call);
    const demands = demandsOf(bindingsOf(call.method, bind), call.principal);
    if (demands.length === 0) return next(call);
    const refuse = (error: StatusError): never => {
      record.denied(call, 'resource_mismatch', error);
      throw error;
    };
    const check = (message: Message, isFirst: boolean): void => {
      const error = mismatchIn(message, demands, isFirst);
      if (error !== undefined) refuse(error);
    };
    const { requests } = call;
    if (typeof requests !== 'function')
      return next({ ...call, requests: new Checked(requests[Symbol.asyncIterator](), check) });
    return readFirst(requests, check).then((message) => next({ ...call, requests: () => message }));
  };
}

async function readFirst(requests: () => Message | Promise<Message>, check: Check): Promise<Message> {
  const message = await requests();
  check(message, true);
  return message;
}

/** Throws the refusal. */
type Check = (message: Message, isFirst: boolean) => void;

/** A client's messages, each looked at before it is passed on. */
class Checked implements AsyncIterableIterator<Message, undefined> {
  private isFirst = true;

  constructor(
    private readonly inner: AsyncIterator<Message>,
    private readonly check: Check,
  ) {}

  async next(): Promise<IteratorResult<Message, undefined>> {
    const result = await this.inner.next();
    if (result.done === true) return { done: true, value: undefined };
    try {
      this.check(result.value, this.isFirst);
    } catch (thrown) {
      await this.inner.return?.();
      throw thrown;
    }
    this.isFirst = false;
    return result;
  }

  async return(): Promise<IteratorResult<Message, undefined>> {
    await this.inner.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

function demandsOf(bindings: readonly Compiled[], principal: Principal): readonly Demand[] {
  return bindings
    .filter(({ binding }) => !binding.unless.some((permission) => covers(principal.permissions, permission)))
    .map((each) => ({ ...each, expected: expectedOf(principal, each.binding.claim) }));
}

function expectedOf(principal: Principal, claim: string): readonly Buffer[] {
  return textsOfClaim(claimOf(principal, claim)).map((text) => Buffer.from(text));
}

function mismatchIn(message: Message, demands: readonly Demand[], isFirst: boolean): StatusError | undefined {
  for (const { binding, field, expected } of demands) {
    const { field: name, claim } = binding;
    if (expected.length === 0)
      return new AccessError(`field ${name} must be the token's claim ${claim}, which it does not have`, []);
    const said = field.said(message, expected);
    if (said === 'expected' || (said === 'unset' && !isFirst && binding.firstOnly === true)) continue;
    const problem = said === 'unset' ? 'is missing: it must be' : 'must be';
    return new AccessError(`field ${name} ${problem} the token's claim ${claim}`, []);
  }
  return undefined;
}
