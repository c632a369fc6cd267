/** The service's own positions, for methods whose contract says where they stand: read from replies, written into requests. */
import type { Message } from '../call.js';
import type { Method } from '../method.js';
import { createFieldAccess, type FieldAccess } from './field.js';

export interface Positions {
  /** The position of a reply; undefined if it has none. */
  read(message: Message): Uint8Array | undefined;
  /** The request that goes on after a position. Throws for one that does not fit the field. */
  after(request: Message, position: Uint8Array): Message;
  /** The position that the request itself asks for. */
  asked(request: Message): Uint8Array | undefined;
  /** The request without a position: what makes it the same stream as others. */
  without(request: Message): Message;
  /** What asks for everything that is kept: the zero value of the field. */
  readonly earliest: Uint8Array;
}

const NOTHING = new Uint8Array(0);
const ZERO = Buffer.from('0');

const known = new WeakMap<Method, Positions>();

/** Undefined for a method whose contract declares no cursor. */
export function positionsOf(method: Method): Positions | undefined {
  const { cursorField, resumeField } = method.stream;
  if (cursorField === '') return undefined;
  let positions = known.get(method);
  if (positions === undefined) {
    const reply = createFieldAccess(method.output, cursorField);
    const request = createFieldAccess(method.input, resumeField);
    positions = {
      read: reply.read,
      after: request.write,
      asked: request.read,
      without: request.clear,
      earliest: fits(request, NOTHING) ? NOTHING : ZERO,
    };
    known.set(method, positions);
  }
  return positions;
}

/** Whether the field takes the value: an integer takes no empty one. */
function fits({ write }: FieldAccess, value: Uint8Array): boolean {
  try {
    write(NOTHING, value);
    return true;
  } catch {
    return false;
  }
}
