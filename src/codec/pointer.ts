/** The way from the root of a JSON value to a place in it, in the two forms in which errors name it. */
import type { Place } from './codec.js';

/** One step of the way to a value: a field's name as the client sent it, a list index, or a map key. */
export interface Step {
  readonly name: string | number;
  readonly isKey: boolean;
}

/** Names of the client's choosing are cut to this in error texts. */
const LONGEST_NAME = 64;
/** And ways to this many steps: text that nobody has a message for may be nested as deep as its size allows. */
const MOST_STEPS = 300;

/** `/items/0/unit~1price`: a JSON pointer (RFC 6901). */
export function pointerOf(path: readonly Step[]): string {
  const text = path
    .slice(0, MOST_STEPS)
    .map(({ name }) => `/${cut(name).replaceAll('~', '~0').replaceAll('/', '~1')}`);
  return path.length > MOST_STEPS ? `${text.join('')}/…` : text.join('');
}

/** `items[0].labels[key]`: the field path of google.rpc.BadRequest. */
export function dottedOf(path: readonly Step[]): string {
  const text = path.slice(0, MOST_STEPS).map(({ name, isKey }) => {
    return isKey || typeof name === 'number' ? `[${cut(name)}]` : `.${cut(name)}`;
  });
  return text.join('').replace(/^\./, '');
}

/** Places inside a whole: `body` is the whole body, `body /items/0` a part of it. */
export function placeIn(whole: string): Place {
  return (pointer) => (pointer === '' ? whole : `${whole} ${pointer}`);
}

function cut(name: string | number): string {
  const text = String(name);
  return text.length > LONGEST_NAME ? `${text.slice(0, LONGEST_NAME)}…` : text;
}
