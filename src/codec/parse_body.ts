/** Parses request bodies: what is wrong with one becomes INVALID_ARGUMENT that names the place. */
import { badRequest } from '../details.js';
import { Code, StatusError } from '../status.js';
import type { JsonValue, Place } from './codec.js';
import { Parser, type Step } from './parse.js';
import type { Plan } from './plan.js';

const IN_BODY: Place = (pointer) => (pointer === '' ? 'body' : `body ${pointer}`);

/** Names of the client's choosing are cut to this in error texts. */
const LONGEST_NAME = 64;

export class BodyParser extends Parser {
  private place: Place = IN_BODY;

  /** A JSON value as an encoded message. */
  parse(plan: Plan, value: JsonValue, place: Place = IN_BODY): Buffer {
    this.reset();
    this.place = place;
    this.message(plan, value);
    return this.writer.finish();
  }

  override fail(description: string): never {
    const path = this.path();
    throw new StatusError(Code.INVALID_ARGUMENT, `${this.place(pointerOf(path))}: ${description}`, {
      details: [badRequest([{ field: dottedOf(path), description }])],
    });
  }
}

/** `/items/0/unit~1price`: a JSON pointer (RFC 6901). */
function pointerOf(path: readonly Step[]): string {
  return path.map(({ name }) => `/${cut(name).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/** `items[0].labels[key]`: the field path of google.rpc.BadRequest. */
function dottedOf(path: readonly Step[]): string {
  const text = path.map(({ name, isKey }) => {
    return isKey || typeof name === 'number' ? `[${cut(name)}]` : `.${cut(name)}`;
  });
  return text.join('').replace(/^\./, '');
}

function cut(name: string | number): string {
  const text = String(name);
  return text.length > LONGEST_NAME ? `${text.slice(0, LONGEST_NAME)}…` : text;
}
