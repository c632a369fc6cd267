/** One field of encoded messages, against @bufbuild/protobuf, on random messages of every shape. */
import {
  type DescField,
  type DescMessage,
  fromBinary,
  fromJson,
  type Message,
  toBinary,
} from '@bufbuild/protobuf';
import { type ReflectMessage, reflect, scalarZeroValue } from '@bufbuild/protobuf/reflect';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import fc, { type Arbitrary } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { findField } from '../src/contract/field_path.js';
import { createFieldAccess } from '../src/stream/field.js';
import { jsonFor } from './support/codec/arbitrary.js';
import { type, types } from './support/codec/types.js';

const NAMES = ['Rich', 'Choice', 'Scalars', 'Optionals', 'WellKnown', 'Order'].map(
  (name) => `codec.test.${name}`,
);
const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('latin1');
const bytes = (value: string) => Buffer.from(value, 'latin1');
/** Never with a Buffer, whose slices are Buffers too and differ from Uint8Array. */
const decode = (desc: DescMessage, message: Uint8Array) => fromBinary(desc, new Uint8Array(message));

/** Every path that leads to a value, through at most `depth` messages. */
function pathsOf(desc: DescMessage, depth: number): string[] {
  return desc.fields.flatMap((field) => {
    if (field.fieldKind === 'scalar' || field.fieldKind === 'enum') return [field.name];
    if (field.fieldKind !== 'message' || field.delimitedEncoding || depth === 0) return [];
    return pathsOf(field.message, depth - 1).map((path) => `${field.name}.${path}`);
  });
}

/** Encoded messages in which fields, and messages on the way to them, occur up to three times. */
function encodings(desc: DescMessage): Arbitrary<Buffer> {
  const one = jsonFor(desc, 3).map((json) => toBinary(desc, fromJson(desc, json, { registry: types })));
  return fc.array(one, { minLength: 1, maxLength: 3 }).map((pieces) => Buffer.concat(pieces));
}

const messageAndPath = fc.constantFrom(...NAMES, 'codec.old.Old').chain((name) => {
  const desc = type(name);
  const paths = pathsOf(desc, 2).filter((path) => !path.endsWith('mood'));
  return fc.tuple(fc.constant(desc), encodings(desc), fc.constantFrom(...paths));
});

/** The innermost message of a path as the reference decodes it, with its field; undefined when the message is not there. */
function reach(
  desc: DescMessage,
  message: Uint8Array,
  path: string,
): { readonly root: ReflectMessage; readonly at: ReflectMessage | undefined; readonly field: DescField } {
  const found = findField(desc, path);
  if (typeof found === 'string') throw new Error(found);
  const root = reflect(desc, decode(desc, message), false);
  let at: ReflectMessage | undefined = root;
  for (const field of found.through) at = at?.isSet(field) ? (at.get(field) as ReflectMessage) : undefined;
  return { root, at, field: found.leaf };
}

function canonical(value: unknown): string {
  if (typeof value === 'string') return Buffer.from(value).toString('latin1');
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  return Object.is(value, -0) ? '-0' : String(value);
}

/** The value as the reference sees it. */
function expected(desc: DescMessage, message: Uint8Array, path: string): string | undefined {
  const { at, field } = reach(desc, message, path);
  return at?.isSet(field) ? canonical(at.get(field)) : undefined;
}

/** The message as the reference decodes it, with the field unset. */
function without(desc: DescMessage, message: Uint8Array, path: string): Message {
  const root = reflect(desc, decode(desc, message), false);
  unset(root, path.split('.'));
  return root.message;
}

function unset(message: ReflectMessage, [name, ...rest]: readonly string[]): void {
  const field = message.fields.find((candidate) => candidate.name === name);
  if (!field || !message.isSet(field)) return;
  if (rest.length === 0) {
    message.clear(field);
    return;
  }
  const inner = message.get(field) as ReflectMessage;
  unset(inner, rest);
  // Wrappers are copies here: what holds them has to be told.
  message.set(field, inner);
}

/** What stands for an unset field. */
function zeroOf(desc: DescMessage, path: string): Buffer {
  const found = findField(desc, path);
  if (typeof found === 'string') throw new Error(found);
  const { leaf } = found;
  return bytes(leaf.fieldKind === 'enum' ? '0' : canonical(scalarZeroValue(leaf.scalar, false)));
}

describe('on random messages', () => {
  test('a value is read as the reference decodes it', () => {
    fc.assert(
      fc.property(messageAndPath, ([desc, message, path]) => {
        expect(text(createFieldAccess(desc, path).read(message))).toBe(expected(desc, message, path));
      }),
      { numRuns: 2000 },
    );
  });

  test('a value that was read somewhere can be written anywhere, and the reference decodes it there', () => {
    const two = messageAndPath.chain(([desc, message, path]) =>
      fc.tuple(fc.constant(desc), fc.constant(message), encodings(desc), fc.constant(path)),
    );
    fc.assert(
      fc.property(two, ([desc, message, other, path]) => {
        const access = createFieldAccess(desc, path);
        const value = access.read(other) ?? zeroOf(desc, path);
        const written = access.write(message, value);
        expect(text(access.read(written)) ?? text(zeroOf(desc, path))).toBe(text(value));
        const { at, field } = reach(desc, written, path);
        expect(at && canonical(at.get(field))).toBe(text(value));
        expect(decode(desc, access.clear(written))).toEqual(without(desc, written, path));
      }),
      { numRuns: 2000 },
    );
  });

  test('a cleared message is what the reference makes of it, and nothing is copied without need', () => {
    fc.assert(
      fc.property(messageAndPath, ([desc, message, path]) => {
        const access = createFieldAccess(desc, path);
        const cleared = access.clear(message);
        expect(access.read(cleared)).toBeUndefined();
        expect(decode(desc, cleared)).toEqual(without(desc, message, path));
        expect(access.clear(cleared)).toBe(cleared);
      }),
      { numRuns: 2000 },
    );
  });

  test('two requests that differ in the field alone are the same bytes without it', () => {
    fc.assert(
      fc.property(encodings(type('codec.test.Rich')), fc.string(), fc.string(), (message, one, another) => {
        for (const path of ['renamed', 'late_left', 'self.renamed'].map((name) =>
          name.replace('late_', ''),
        )) {
          const access = createFieldAccess(type('codec.test.Rich'), path);
          const [a, b] = [one, another].map((value) =>
            access.clear(access.write(message, Buffer.from(value))),
          );
          expect(a).toEqual(b);
        }
      }),
    );
  });
});

describe('on bytes that are no message', () => {
  const junk = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    messageAndPath.chain(([, message]) =>
      fc.nat(message.length).map((length) => message.subarray(0, length)),
    ),
    messageAndPath.chain(([, message]) =>
      fc.tuple(fc.nat(Math.max(0, message.length - 1)), fc.nat(255)).map(([at, byte]) => {
        const wounded = Buffer.from(message);
        if (wounded.length > 0) wounded[at] = byte;
        return wounded;
      }),
    ),
  );

  test('nothing throws', () => {
    const rich = type('codec.test.Rich');
    const accesses = pathsOf(rich, 2).map((path) => createFieldAccess(rich, path));
    fc.assert(
      fc.property(junk, (message) => {
        for (const access of accesses) {
          access.read(message);
          access.clear(message);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('a message that is cut short has no values, and is cleared to itself', () => {
    const access = createFieldAccess(type('codec.test.Order'), 'sequence');
    const whole = new BinaryWriter()
      .tag(10, WireType.Varint)
      .int64(7)
      .tag(11, WireType.LengthDelimited)
      .string('note')
      .finish();
    expect(text(access.read(whole))).toBe('7');
    for (let length = 3; length < whole.length; length++) {
      const cut = whole.subarray(0, length);
      expect(access.read(cut), String(length)).toBeUndefined();
      expect(access.clear(cut)).toBe(cut);
    }
  });

  test.each([
    ['a varint of eleven bytes', [0x50, ...new Array(10).fill(0xff), 1]],
    ['an end of a group that never began', [0x50, 7, 0x54]],
    ['a field without a number', [0x50, 7, 0x00, 0x00]],
    ['a length beyond the end', [0x50, 7, 0x5a, 0xff, 0xff, 0xff, 0xff, 0x0f]],
    ['a group that never ends', [0x50, 7, 0xa3, 0x06]],
    ['groups without end', [0x50, 7, ...new Array(400).fill(0x0b)]],
  ])('%s has no values', (_, message) => {
    expect(
      createFieldAccess(type('codec.test.Order'), 'sequence').read(Buffer.from(message)),
    ).toBeUndefined();
  });

  test('a piece that reaches out of its message has no values', () => {
    const access = createFieldAccess(type('codec.test.Order'), 'total.units');
    // total { units: <cut> } and the rest of the integer outside.
    expect(access.read(Buffer.from([0x2a, 2, 0x10, 0x80, 0x01]))).toBeUndefined();
    expect(text(access.read(Buffer.from([0x2a, 3, 0x10, 0x80, 0x01])))).toBe('128');
  });
});

describe('a field access', () => {
  const order = type('codec.test.Order');

  test('passes over unknown fields and groups, and over the right number with the wrong wire type', () => {
    const access = createFieldAccess(order, 'sequence');
    const message = new BinaryWriter()
      .tag(10, WireType.Varint)
      .int64(7)
      .tag(900, WireType.StartGroup)
      .tag(10, WireType.Varint)
      .int64(8)
      .tag(900, WireType.EndGroup)
      .tag(10, WireType.LengthDelimited)
      .string('9')
      .tag(901, WireType.Bit64)
      .fixed64(10)
      .finish();
    expect(text(access.read(message))).toBe('7');
    expect(Buffer.from(access.clear(message))).toEqual(Buffer.from(message.subarray(2)));
  });

  test('compares integers of all types as decimal text', () => {
    const scalars = type('codec.test.Scalars');
    const names = [
      'int64',
      'uint64',
      'int32',
      'fixed64',
      'fixed32',
      'uint32',
      'sfixed32',
      'sfixed64',
      'sint32',
      'sint64',
    ];
    const read = names.map((name) => {
      const access = createFieldAccess(scalars, `f_${name}`);
      return text(access.read(access.write(new Uint8Array(), bytes('2147483647'))));
    });
    expect(new Set(read)).toEqual(new Set(['2147483647']));
  });

  test('reads no value beyond its limit', () => {
    const [usual, wide] = [createFieldAccess(order, 'order_id'), createFieldAccess(order, 'order_id', 2000)];
    const message = (length: number) => usual.write(new Uint8Array(), Buffer.alloc(length, 'x'));
    expect(usual.read(message(1024))).toHaveLength(1024);
    expect(usual.read(message(1025))).toBeUndefined();
    expect(wide.read(message(1025))).toHaveLength(1025);
  });

  test('reads no string that is not UTF-8', () => {
    const message = Buffer.from([0x0a, 2, 0xc3, 0x28]);
    expect(createFieldAccess(order, 'order_id').read(message)).toBeUndefined();
  });

  test('answers a value of its own memory', () => {
    const access = createFieldAccess(order, 'order_id');
    const message = access.write(new Uint8Array(), bytes('abc'));
    const value = access.read(message);
    message.fill(0);
    expect(text(value)).toBe('abc');
  });

  test('writes a zero so that a field with presence is set', () => {
    const access = createFieldAccess(type('codec.test.Optionals'), 'f_int64');
    expect(text(access.read(access.write(new Uint8Array(), bytes('0'))))).toBe('0');
    expect(createFieldAccess(order, 'sequence').write(new Uint8Array(), bytes('0'))).toHaveLength(2);
  });

  test('unsets with a member of a oneof what that member had unset', () => {
    const access = createFieldAccess(type('codec.test.Choice'), 'nested.number');
    const inner = type('codec.test.Choice');
    const set = (value: object) => toBinary(inner, fromJson(inner, value as never));
    // In pieces: nested { text }, then nested { number }, which unsets text.
    const message = Buffer.concat([set({ nested: { text: 'a' } }), set({ nested: { number: 5 } })]);
    expect(text(access.read(message))).toBe('5');
    expect(decode(inner, access.clear(message))).toEqual(decode(inner, set({ nested: {} })));
    const replaced = Buffer.concat([message, set({ text: 'b' })]);
    expect(access.read(replaced)).toBeUndefined();
  });

  test.each([
    ['f_int32', '2147483648', 'an int32'],
    ['f_int32', '-2147483649', 'an int32'],
    ['f_uint32', '-1', 'a uint32'],
    ['f_uint64', '18446744073709551616', 'a uint64'],
    ['f_int64', '9223372036854775808', 'an int64'],
    ['f_sint64', '1.5', 'an sint64'],
    ['f_sfixed32', '1e3', 'an sfixed32'],
    ['f_fixed64', '', 'a fixed64'],
    ['f_int64', '007', 'an int64'],
    ['f_int64', '-0', 'an int64'],
    ['f_int64', ' 7', 'an int64'],
    ['f_int64', '7\n', 'an int64'],
    ['f_bool', '1', 'a bool'],
    ['f_double', 'one', 'a double'],
    ['f_double', '', 'a double'],
    ['f_float', '0.1', 'a float'],
    ['f_enum', 'COLOR_RED', 'the number of an enum'],
    ['f_string', '\xff', 'valid UTF-8'],
  ])('refuses to write into %s: %j', (field, value, wanted) => {
    const access = createFieldAccess(type('codec.test.Scalars'), field);
    expect(() => access.write(new Uint8Array(), bytes(value))).toThrow(
      `${field}: the value is not ${wanted}`,
    );
  });

  test.each([
    ['', 'codec.test.Rich has no field ""'],
    ['gone', 'codec.test.Rich has no field "gone"'],
    ['custom-Name', 'codec.test.Rich has no field "custom-Name"'],
    ['self.gone', 'codec.test.Rich has no field "gone"'],
    ['self.', 'codec.test.Rich has no field ""'],
    ['self', 'self is a message, not a single value'],
    ['renamed.x', 'renamed is not a message: it has no fields'],
    ['children.renamed', 'children holds more than one value'],
    ['lists.f_int64', 'lists.f_int64 holds more than one value'],
    ['maps.by_string', 'maps.by_string holds more than one value'],
  ])('cannot be made for the path %j', (path, problem) => {
    expect(() => createFieldAccess(type('codec.test.Rich'), path)).toThrow(`${path}: ${problem}`);
  });

  test('cannot be made for a path through a group', () => {
    expect(() => createFieldAccess(type('codec.old.Old'), 'data.text')).toThrow(
      'data.text: data is a group: no path leads through one',
    );
  });
});
