/** What a URL says of a message, as a JSON tree: built field by field, then merged with a body that may not contradict it. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import type { Codec, JsonObject, JsonValue } from '../../src/codec/codec.js';
import { FieldTextError, valueFromText } from '../../src/codec/text.js';
import { badRequest } from '../../src/details.js';
import { Code, StatusError } from '../../src/status.js';
import type { HttpOptions } from '../profile.js';
import { type FieldPath, findField, isParent, printPath, samePath } from './fields.js';
import { fromGoText } from './go_texts.js';
import type { Target } from './query.js';

/** One value that the URL gives, and how to name it to the client. */
interface Origin {
  readonly path: FieldPath;
  readonly mapKey: string | undefined;
  readonly place: string;
  readonly inPath: boolean;
}

/** The fields that one URL sets. Path variables come first; what they set stays. */
export class UrlFields {
  /** Keys are JSON names. A body is merged with it without changing it. */
  readonly tree: JsonObject = {};
  private readonly origins: Origin[] = [];
  /** How many of them, at the front, are path variables. */
  private variables = 0;

  constructor(
    private readonly codec: Codec,
    private readonly rules: Pick<HttpOptions, 'pathConflicts' | 'goTexts'>,
  ) {}

  get isEmpty(): boolean {
    return this.origins.length === 0;
  }

  has(field: DescField): boolean {
    return Object.hasOwn(this.tree, field.jsonName);
  }

  /** Sets the field of a path variable; the elements of a repeated one have commas between them. */
  setVariable(path: FieldPath, place: string, text: string): void {
    const field = path.at(-1) as DescField;
    const read = (one: string): JsonValue => this.textValue(path, one, place);
    const value = field.fieldKind === 'list' ? text.split(',').map(read) : read(text);
    put(this.parentOf(path, place), field.jsonName, value);
    this.origins.push({ path, mapKey: undefined, place, inPath: true });
    this.variables++;
  }

  /** Adds a query parameter. Throws StatusError INVALID_ARGUMENT if it contradicts what is set, or comes a second time. */
  setParameter({ path, field, mapKey }: Target, place: string, text: string): void {
    const bound = this.variableOf(path);
    if (bound !== undefined && this.rules.pathConflicts === 'path-wins') return;
    if (bound !== undefined && field.fieldKind === 'list')
      throw contradiction(place, path, `is set by ${bound.place}`);
    const parent = this.parentOf(path, place);
    const value = this.textValue(path, text, place);
    const name = field.jsonName;
    if (field.fieldKind === 'list') {
      const list = ownMember(parent, name);
      if (Array.isArray(list)) list.push(value);
      else put(parent, name, [value]);
    } else if (mapKey !== undefined) {
      const map = childObject(parent, name);
      if (Object.hasOwn(map, mapKey)) throw contradiction(place, path, 'given twice');
      put(map, mapKey, value);
    } else if (Object.hasOwn(parent, name)) {
      this.checkRepeated(path, place, ownMember(parent, name) as JsonValue, value);
    } else {
      put(parent, name, value);
    }
    this.origins.push({ path, mapKey, place, inPath: false });
  }

  private variableOf(path: FieldPath): Origin | undefined {
    for (let at = 0; at < this.variables; at++) {
      const origin = this.origins[at] as Origin;
      if (samePath(origin.path, path)) return origin;
    }
    return undefined;
  }

  /** A parameter may repeat what a path variable says, once. */
  private checkRepeated(path: FieldPath, place: string, set: JsonValue, value: JsonValue): void {
    const earlier = this.origins.filter((origin) => samePath(origin.path, path));
    const [first] = earlier;
    if (first === undefined || !first.inPath || earlier.length > 1)
      throw contradiction(place, path, 'given twice');
    const field = path.at(-1) as DescField;
    if (!this.isSame(field, set, value, place))
      throw contradiction(place, path, `differs from ${first.place}`);
  }

  /** The object of the tree that holds the path's last field. Nothing on the way may be in a oneof with what is set. */
  private parentOf(path: FieldPath, place: string): JsonObject {
    let node = this.tree;
    for (const [index, field] of path.entries()) {
      for (const other of field.oneof?.fields ?? []) {
        if (other === field || !Object.hasOwn(node, other.jsonName)) continue;
        throw contradiction(place, path, `only one of ${other.name} and ${field.name} can be given`);
      }
      if (index < path.length - 1) node = childObject(node, field.jsonName);
    }
    return node;
  }

  /**
   * Merges what the URL sets in `type` into a JSON body, which is changed: `set` is the tree, or the part of it that
   * belongs to the body's field. Throws StatusError INVALID_ARGUMENT, naming the body's member, where they differ.
   */
  mergeInto(body: JsonObject, type: DescMessage, set: JsonObject = this.tree, pointer = ''): void {
    for (const [name, value] of Object.entries(set)) {
      const field = findField(type, name) as DescField;
      checkSiblings(body, field, pointer);
      if (this.rules.pathConflicts === 'path-wins' && !isParent(field)) {
        if (Object.hasOwn(body, field.name)) delete body[field.name];
        put(body, name, value);
        continue;
      }
      const byJsonName = this.mergeMember({ body, key: field.jsonName, field, value, pointer });
      if (field.name === field.jsonName) {
        if (!byJsonName) put(body, name, value);
      } else if (!this.mergeMember({ body, key: field.name, field, value, pointer }) && !byJsonName) {
        // A null says nothing, but beside the other name of the same field it would be a second value.
        if (Object.hasOwn(body, field.name)) delete body[field.name];
        put(body, name, value);
      }
    }
  }

  /** Whether the body has a value under this key; if so, it agrees with the URL's. */
  private mergeMember({ body, key, field, value, pointer }: Member): boolean {
    const given = ownMember(body, key) ?? null;
    if (given === null) return false;
    const place = `${pointer}/${key}`;
    if (isParent(field)) {
      if (!isObject(given)) throw bodyError(place, 'expected an object');
      this.mergeInto(given, field.message, value as JsonObject, place);
    } else if (!this.isSame(field, value, given, placeInBody(place))) {
      throw bodyError(place, 'differs from the value in the URL');
    }
    return true;
  }

  /** Refuses a value for `field`, which is the body, if the URL has set another member of its oneof. */
  checkOneof(field: DescField): void {
    const rival = field.oneof?.fields.find((other) => other !== field && this.has(other));
    if (rival !== undefined) {
      throw bodyError(
        '',
        `only one of ${rival.name} and ${field.name} can be given, and the URL has ${rival.name}`,
      );
    }
  }

  /** The JSON value that a text in a URL means. Throws StatusError INVALID_ARGUMENT if it means none. */
  private textValue(path: FieldPath, text: string, place: string): JsonValue {
    const field = path.at(-1) as DescField;
    try {
      return valueFromText(field, this.rules.goTexts ? fromGoText(field, text) : text);
    } catch (error) {
      if (error instanceof FieldTextError) throw contradiction(place, path, error.message);
      throw error;
    }
  }

  /** Whether two JSON values of a field are one value, however they are written. */
  private isSame(field: DescField, set: JsonValue, given: JsonValue, place: string): boolean {
    if (set === given) return true;
    const bytes = (value: JsonValue) =>
      this.codec.parse(field.parent, { [field.jsonName]: value }, () => place);
    return Buffer.compare(bytes(set), bytes(given)) === 0;
  }

  /**
   * The place in the URL that a JSON pointer into the message leads to, if one does. Where there is a body, it is the
   * body that is wrong beneath a path variable: it says the same thing, and says it badly.
   */
  placeOf(pointer: string, hasBody: boolean): string | undefined {
    const keys = pointer.split('/').slice(1).map(unescapePointer);
    const origin = this.origins.find(
      ({ path, mapKey, inPath }) =>
        !(inPath && hasBody) &&
        path.every((field, index) => keys[index] === field.jsonName || keys[index] === field.name) &&
        (mapKey === undefined || keys[path.length] === undefined || keys[path.length] === mapKey),
    );
    return origin?.place;
  }
}

interface Member {
  readonly body: JsonObject;
  readonly key: string;
  readonly field: DescField;
  readonly value: JsonValue;
  readonly pointer: string;
}

/** Refuses a body that sets another member of a oneof of which the URL has set `field`. */
function checkSiblings(body: JsonObject, field: DescField, pointer: string): void {
  for (const other of field.oneof?.fields ?? []) {
    if (other === field) continue;
    for (const key of [other.jsonName, other.name]) {
      if (isGiven(other, ownMember(body, key))) {
        throw bodyError(
          `${pointer}/${key}`,
          `only one of ${other.name} and ${field.name} can be given, and the URL has ${field.name}`,
        );
      }
    }
  }
}

/** Whether a member of a body sets its field. A null does not, except where null is a value. */
export function isGiven({ message, enum: type }: DescField, value: JsonValue | undefined): boolean {
  if (value !== null) return value !== undefined;
  return message?.typeName === 'google.protobuf.Value' || type?.typeName === 'google.protobuf.NullValue';
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A member of its own: `constructor` and the like are not there unless the client sent them. */
export function ownMember(object: JsonObject, key: string): JsonValue | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/** Sets an own member, `__proto__` too. */
export function put(object: JsonObject, key: string, value: JsonValue): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  } else {
    object[key] = value;
  }
}

function childObject(parent: JsonObject, key: string): JsonObject {
  const existing = ownMember(parent, key);
  if (isObject(existing)) return existing;
  const created: JsonObject = {};
  put(parent, key, created);
  return created;
}

function contradiction(place: string, path: FieldPath, description: string): StatusError {
  return invalid(place, printPath(path), description);
}

/** A StatusError INVALID_ARGUMENT about the member of a body that a JSON pointer leads to. */
export function bodyError(pointer: string, description: string): StatusError {
  return invalid(placeInBody(pointer), pointer.slice(1).replaceAll('/', '.') || 'body', description);
}

/** `body /items/0`, or `body` for the whole of it. */
export function placeInBody(pointer: string): string {
  return pointer === '' ? 'body' : `body ${pointer}`;
}

function invalid(place: string, field: string, description: string): StatusError {
  return new StatusError(Code.INVALID_ARGUMENT, `${place}: ${description}`, {
    details: [badRequest([{ field, description }])],
  });
}

/** RFC 6901 section 3. */
function unescapePointer(key: string): string {
  return key.replaceAll('~1', '/').replaceAll('~0', '~');
}
