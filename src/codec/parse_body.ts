/** Parses request bodies: what is wrong with one becomes INVALID_ARGUMENT that names the place. */
import { badRequest } from '../details.js';
import { Code, StatusError } from '../status.js';
import type { JsonValue, Place } from './codec.js';
import { Parser } from './parse.js';
import type { Plan } from './plan.js';
import { dottedOf, placeIn, pointerOf } from './pointer.js';

const IN_BODY = placeIn('body');

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
