/** The dialects of JSON: what strict refuses and those of Go take, and the other way round. */
import { fromBinary, type JsonValue as Json, toJson } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createCodec, type Dialect, type JsonValue } from '../src/codec/codec.js';
import { parseJson } from '../src/codec/json_text.js';
import { findRepeatedName, mayRepeatNames } from '../src/codec/json_walk.js';
import { Code, StatusError } from '../src/status.js';
import { refusal } from './support/codec/refused.js';
import { type, types } from './support/codec/types.js';

const DIALECTS = ['strict', 'protojson', 'jsonpb'] as const;
const REFUSED = 'refused';

/** What a JSON text is as a message, in canonical JSON; or that it is refused, as all that is wrong is. */
function read(name: string, text: string | Buffer, dialect: Dialect): Json {
  const desc = type(`codec.test.${name}`);
  try {
    const bytes = createCodec(types, { dialect }).parse(desc, parseJson(text, undefined, dialect));
    return toJson(desc, fromBinary(desc, bytes), { registry: types });
  } catch (thrown) {
    if (thrown instanceof StatusError && thrown.code === Code.INVALID_ARGUMENT) return REFUSED;
    throw thrown;
  }
}

const shown = (text: string | Buffer): string => (typeof text === 'string' ? text : text.toString('latin1'));

/** What a text is to strict, protojson and jsonpb. */
type Expected = readonly [Json, Json, Json];
type Case = readonly [name: string, text: string | Buffer, expected: Expected];

/** The same to all. */
const all = (value: Json): Expected => [value, value, value];
/** Refused by all but those of Go. */
const go = (value: Json): Expected => [REFUSED, value, value];
const jsonpb = (value: Json): Expected => [REFUSED, REFUSED, value];
const notJsonpb = (value: Json): Expected => [value, value, REFUSED];

const ANY = '"@type":"type.googleapis.com/codec.test.Scalars"';
const CASES: Readonly<Record<string, readonly Case[]>> = {
  'text behind the value': [
    ['Scalars', '{"fBool":true} x', go({ fBool: true })],
    ['Scalars', '{"fBool":true}{"fBool":false}', go({ fBool: true })],
    ['Scalars', '{"fBool":true}}', go({ fBool: true })],
    ['Scalars', '\n{"fBool":true}\r\n\t', all({ fBool: true })],
    ['Scalars', 'x {"fBool":true}', all(REFUSED)],
    ['Scalars', '{"fBool":true', all(REFUSED)],
    ['Scalars', '{"fBool":true,} {}', all(REFUSED)],
    ['Scalars', '\ufeff{}', all(REFUSED)],
    ['Scalars', '', all(REFUSED)],
  ],
  'names given twice': [
    ['Scalars', '{"fInt32":1,"fInt32":2}', jsonpb({ fInt32: 2 })],
    ['Scalars', '{"fInt32":1,"f\\u0049nt32":2}', jsonpb({ fInt32: 2 })],
    ['Scalars', '{"fInt32" : 1, "fInt32" : 2}', jsonpb({ fInt32: 2 })],
    ['Scalars', '{"fString":"\\":","fInt32":1}', all({ fString: '":', fInt32: 1 })],
    ['Scalars', '{"fString":"a\\":b\\":","fInt32" :1,"fInt32":1}', jsonpb({ fString: 'a":b":', fInt32: 1 })],
    ['Scalars', '{"fInt32":1} {"fInt32":2}', go({ fInt32: 1 })],
    ['Maps', '{"byString":{"a":"1","a":"2"}}', jsonpb({ byString: { a: '2' } })],
    ['Maps', '{"byString":{"__proto__":"1","__proto__":"2"}}', jsonpb({ byString: { ['__proto__']: '2' } })],
    ['WellKnown', '{"struct":{"a":[{"b":1,"b":2}]}}', jsonpb({ struct: { a: [{ b: 2 }] } })],
    ['WellKnown', `{"any":{${ANY},${ANY}}}`, jsonpb({ any: JSON.parse(`{${ANY}}`) as Json })],
    ['Choice', '{"nested":{"text":"a","beside":"b"},"nested":{}}', jsonpb({ nested: {} })],
    ['Choice', '{"nested":{"text":"a"},"text":"b"}', jsonpb({ text: 'b' })],
    ['Choice', '{"nested":{"beside":"a"},"beside":"a"}', all({ nested: { beside: 'a' }, beside: 'a' })],
  ],
  'a field by both of its names': [
    ['Scalars', '{"fInt32":1,"f_int32":2}', jsonpb({ fInt32: 1 })],
    ['Scalars', '{"f_int32":2,"fInt32":1}', jsonpb({ fInt32: 1 })],
    ['Scalars', '{"f_int32":2,"fInt32":null}', [{ fInt32: 2 }, { fInt32: 2 }, {}]],
    ['Scalars', '{"f_int32":2}', all({ fInt32: 2 })],
    ['Scalars', '{"f_int32":"x","fInt32":1}', jsonpb({ fInt32: 1 })],
    ['Lists', '{"f_bool":[true],"fBool":[false]}', jsonpb({ fBool: [false] })],
    [
      'Lists',
      '{"f_message":[{"fInt32":1}],"fMessage":[{"fBool":true}]}',
      jsonpb({ fMessage: [{ fBool: true }] }),
    ],
    ['Maps', '{"by_string":{"a":"1"},"byString":{"b":"2"}}', jsonpb({ byString: { b: '2' } })],
  ],
  'two members of a oneof': [
    ['Choice', '{"text":"a","number":1}', jsonpb({ number: 1 })],
    ['Choice', '{"number":1,"text":"a"}', jsonpb({ text: 'a' })],
    [
      'Choice',
      '{"nested":{"text":"a","number":1},"no":true,"yes":false}',
      jsonpb({ nested: { number: 1 }, yes: false }),
    ],
    ['Choice', '{"number":1,"text":null}', all({ number: 1 })],
    ['Choice', '{"number":1,"yes":true}', all({ number: 1, yes: true })],
    [
      'WellKnown',
      '{"any":{"@type":"t/codec.test.Choice","yes":true,"no":true}}',
      jsonpb({ any: { '@type': 't/codec.test.Choice', no: true } }),
    ],
  ],
  null: [
    ['Scalars', 'null', jsonpb({})],
    ['Scalars', '{"fInt32":null}', all({})],
    [
      'Lists',
      '{"fInt32":[null,1],"fString":[null],"fBytes":[null],"fBool":[null]}',
      jsonpb({ fInt32: [0, 1], fString: [''], fBytes: [''], fBool: [false] }),
    ],
    ['Lists', '{"fEnum":[null]}', jsonpb({ fEnum: ['COLOR_UNSPECIFIED'] })],
    ['Lists', '{"fMessage":[null]}', all(REFUSED)],
    ['Maps', '{"byString":{"a":null}}', jsonpb({ byString: { a: '' } })],
    ['Maps', '{"byFixed64":{"1":null}}', all(REFUSED)],
    ['WellKnown', '{"values":[null],"nulls":[null]}', all({ values: [null], nulls: [null] })],
    ['WellKnown', '{"any":null,"struct":null}', all({})],
  ],
  'text that is no Unicode': [
    ['Scalars', '{"fString":"\\ud800x"}', jsonpb({ fString: '\ufffdx' })],
    ['Scalars', Buffer.from('{"fString":"\xffx"}', 'latin1'), jsonpb({ fString: '\ufffdx' })],
    ['Scalars', Buffer.from('{\xff"fString":"x"}', 'latin1'), all(REFUSED)],
    ['Scalars', '{"fString":"\\ud83c\\udf0a"}', all({ fString: '\u{1f30a}' })],
    ['Maps', '{"byString":{"\\udc00":"\\ud800"}}', jsonpb({ byString: { '\ufffd': '\ufffd' } })],
  ],
  base64: [
    ['Scalars', '{"fBytes":"YQ=="}', all({ fBytes: 'YQ==' })],
    ['Scalars', '{"fBytes":"YQ"}', notJsonpb({ fBytes: 'YQ==' })],
    ['Scalars', '{"fBytes":"-_8="}', notJsonpb({ fBytes: '+/8=' })],
    ['Scalars', '{"fBytes":"YW\\r\\nFh"}', jsonpb({ fBytes: 'YWFh' })],
    ['Scalars', '{"fBytes":"Y Q="}', all(REFUSED)],
    ['Scalars', '{"fBytes":"YQ==YQ=="}', all(REFUSED)],
    ['Scalars', '{"fBytes":"===="}', all(REFUSED)],
    ['WellKnown', '{"wBytes":"YQ"}', notJsonpb({ wBytes: 'YQ==' })],
  ],
  integers: [
    ['Scalars', '{"fInt64":1.0}', notJsonpb({ fInt64: '1' })],
    ['Scalars', '{"fInt32":1e1}', notJsonpb({ fInt32: 10 })],
    ['Scalars', '{"fInt32":"1.0"}', notJsonpb({ fInt32: 1 })],
    ['Scalars', '{"fInt32":"007"}', notJsonpb({ fInt32: 7 })],
    ['Scalars', '{"fUint32":10}', all({ fUint32: 10 })],
    ['Scalars', '{"fSint64":"-10"}', all({ fSint64: '-10' })],
    ['Scalars', '{"fInt32":1.5}', all(REFUSED)],
    ['Scalars', '{"fEnum":1.0}', notJsonpb({ fEnum: 'COLOR_RED' })],
    ['Lists', '{"fInt32":[1,2.0]}', notJsonpb({ fInt32: [1, 2] })],
    ['Maps', '{"byInt32":{"1":1.0}}', notJsonpb({ byInt32: { 1: '1' } })],
    ['WellKnown', '{"wInt64":1e2}', notJsonpb({ wInt64: '100' })],
    ['Scalars', '{"fInt64":9007199254740993}', go({ fInt64: '9007199254740993' })],
    ['Scalars', '{"fInt64":9007199254740992}', go({ fInt64: '9007199254740992' })],
    ['Scalars', '{"fUint64":18446744073709551615}', go({ fUint64: '18446744073709551615' })],
    ['Scalars', '{"fUint64":18446744073709551616}', all(REFUSED)],
    ['Scalars', '{"fInt64":-9223372036854775808}', go({ fInt64: '-9223372036854775808' })],
    ['Scalars', '{"fInt64":9007199254740993.0}', [REFUSED, { fInt64: '9007199254740993' }, REFUSED]],
    ['Scalars', '{"fInt32":9007199254740993}', all(REFUSED)],
    ['Lists', '{"fInt64":[[9007199254740993]]}', all(REFUSED)],
  ],
  'numbers where they are no integers': [
    ['Scalars', '{"fDouble":1.0,"fFloat":1e1}', all({ fDouble: 1, fFloat: 10 })],
    ['Scalars', '{"fDouble":9007199254740993}', all({ fDouble: 9007199254740992 })],
    ['Scalars', '{"fDouble":"1.0"}', all({ fDouble: 1 })],
    ['Scalars', '{"fDouble":-0.0}', all({ fDouble: -0 })],
    ['Scalars', '{"fDouble":1e999}', all(REFUSED)],
    [
      'WellKnown',
      '{"value":[1.0,{"a":1e1}],"struct":{"b":[2.0]}}',
      all({ value: [1, { a: 10 }], struct: { b: [2] } }),
    ],
    ['WellKnown', '{"wDouble":1.0}', all({ wDouble: 1 })],
    ['Scalars', '{"fString":1.0}', all(REFUSED)],
    ['Scalars', '{"fBytes":1e10}', all(REFUSED)],
    ['Scalars', '{"fBool":1.0}', all(REFUSED)],
    ['Lists', '{"fMessage":[1.0]}', all(REFUSED)],
    ['Lists', '{"fInt32":1.0}', all(REFUSED)],
    ['Choice', '{"nested":1.0}', all(REFUSED)],
    ['Maps', '{"byString":1.0}', all(REFUSED)],
    ['WellKnown', '{"struct":1.0}', all(REFUSED)],
    ['WellKnown', '{"any":1.0}', all(REFUSED)],
    ['WellKnown', '{"at":1.0}', all(REFUSED)],
    ['Scalars', '1.0', all(REFUSED)],
  ],
};

for (const [what, cases] of Object.entries(CASES)) {
  describe(what, () => {
    for (const [name, text, expected] of cases) {
      test.each(DIALECTS.map((dialect, index) => [dialect, expected[index] as Json] as const))(
        `${name} ${JSON.stringify(shown(text))} by %s`,
        (dialect, value) => expect(read(name, text, dialect)).toEqual(value),
      );
    }
  });
}

describe('a name given twice', () => {
  test.each([
    ['{"a":1,"a":2}', 'body /a', 'a'],
    ['{"a":[0,{"b":{},"c":1,"b":{}}]}', 'body /a/1/b', 'a[1].b'],
    ['{"a/b~":1,"a/b~":2}', 'body /a~1b~0', 'a/b~'],
    ['{"":1,"":2}', 'body /', ''],
  ])('%s is refused with its place', (text, place, field) => {
    const error = refusal(() => parseJson(text));
    expect([error.code, error.message]).toEqual([Code.INVALID_ARGUMENT, `${place}: given twice`]);
    if (field !== '') expect(Buffer.from(error.details[0]?.value ?? []).toString()).toContain(field);
  });

  test('is named in few words, however deep it is', () => {
    const text = `${'{"a":'.repeat(100_000)}{"b":1,"b":2}${'}'.repeat(100_000)}`;
    const { message, details } = refusal(() => parseJson(text));
    expect(message).toBe(`body ${'/a'.repeat(300)}/…: given twice`);
    expect(details[0]?.value.length).toBeLessThan(1000);
  });

  test('is found wherever it is, and nowhere else', () => {
    const name = fc.constantFrom('a', 'b', '":', '\\', '__proto__', ' :', '{', 'é');
    const space = fc.constantFrom('', '', ' ', '\n');
    interface Made {
      readonly text: string;
      readonly repeats: boolean;
    }
    const { value } = fc.letrec<{ value: Made; object: Made; array: Made }>((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc
          .oneof(
            name.map((text) => JSON.stringify(text)),
            fc.constantFrom('1', '-1.5e3', 'null', 'true'),
          )
          .map((text) => ({ text, repeats: false })),
        tie('object'),
        tie('array'),
      ),
      array: fc.array(tie('value'), { maxLength: 3 }).map((elements) => ({
        text: `[${elements.map(({ text }) => text).join(',')}]`,
        repeats: elements.some(({ repeats }) => repeats),
      })),
      object: fc.array(fc.tuple(name, space, tie('value')), { maxLength: 4 }).map((members) => ({
        text: `{${members.map(([key, gap, { text }]) => `${JSON.stringify(key)}${gap}:${text}`).join(',')}}`,
        repeats:
          new Set(members.map(([key]) => key)).size < members.length ||
          members.some(([, , { repeats }]) => repeats),
      })),
    }));
    fc.assert(
      fc.property(value, ({ text, repeats }) => {
        expect(findRepeatedName(text) !== undefined).toBe(repeats);
        if (repeats) expect(mayRepeatNames(text, JSON.parse(text) as JsonValue)).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  test('a text as JSON is usually printed causes no alarm for nothing', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: fc.constantFrom('a', 'é', '{', '\\', '"') }), (json) => {
        const text = JSON.stringify(json);
        expect(mayRepeatNames(text, json as JsonValue)).toBe(false);
      }),
    );
  });
});

describe('nesting', () => {
  const choice = (levels: number): string => `${'{"nested":'.repeat(levels - 1)}{}${'}'.repeat(levels - 1)}`;
  const struct = (levels: number): string =>
    `{"value":${'{"a":'.repeat(levels - 2)}1${'}'.repeat(levels - 2)}}`;
  const list = (levels: number): string => `{"value":${'['.repeat(levels - 2)}1${']'.repeat(levels - 2)}}`;

  test.each([
    ['strict', 100],
    ['protojson', 300],
    ['jsonpb', 300],
  ] as const)('%s takes %i levels and no more, both ways', (dialect, most) => {
    const codec = createCodec(types, { dialect });
    for (const [name, text] of [
      ['Choice', choice],
      ['WellKnown', struct],
      ['WellKnown', list],
    ] as const) {
      const desc = type(`codec.test.${name}`);
      const bytes = codec.parse(desc, parseJson(text(most), undefined, dialect));
      expect(codec.print(desc, bytes)).toBe(text(most));
      const deeper = text(most + 1);
      expect(refusal(() => codec.parse(desc, parseJson(deeper))).message).toContain(
        `nested over ${most} levels`,
      );
      const tooDeep = createCodec(types, { dialect: 'jsonpb' });
      if (dialect !== 'strict') continue;
      const encoded = tooDeep.parse(desc, parseJson(deeper));
      expect(refusal(() => codec.print(desc, encoded)).message).toContain(`nested over ${most} levels`);
    }
  });

  test('no depth ends the process, in any dialect', () => {
    for (const dialect of DIALECTS) {
      for (const [open, close] of [
        ['{"nested":', '}'],
        ['{"anything":[', ']}'],
        ['{"nope":[1.0,', ']}'],
      ] as const) {
        const text = `${open.repeat(100_000)}{}${close.repeat(100_000)}`;
        expect(read('Choice', text, dialect)).toBe(REFUSED);
      }
    }
  });

  test('many numbers far down are read in one go', () => {
    const text = `${'['.repeat(20_000)}${'1.0,'.repeat(200_000)}1${']'.repeat(20_000)}`;
    expect(() => parseJson(text, undefined, 'jsonpb')).not.toThrow();
  });
});
