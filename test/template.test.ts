/** Path templates: the whole grammar, what it refuses and where, and printing. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  parseTemplate,
  printTemplate,
  shapeOf,
  type Template,
  TemplateError,
} from '../gateway/http/template.js';

describe('a template is parsed to segments, variables and a verb', () => {
  const accepted: [string, string[], Record<string, [number, number]>, string][] = [
    ['/', [], {}, ''],
    ['/v1', ['v1'], {}, ''],
    ['/v1/orders', ['v1', 'orders'], {}, ''],
    ['/v1/*/x', ['v1', '*', 'x'], {}, ''],
    ['/v1/**', ['v1', '**'], {}, ''],
    ['/**', ['**'], {}, ''],
    ['/v1/{id}', ['v1', '*'], { id: [1, 2] }, ''],
    ['/v1/{id=*}', ['v1', '*'], { id: [1, 2] }, ''],
    ['/v1/{order.order_id}', ['v1', '*'], { 'order.order_id': [1, 2] }, ''],
    ['/v1/{name=shelves/*}', ['v1', 'shelves', '*'], { name: [1, 3] }, ''],
    ['/v1/{name=shelves/*/books/**}', ['v1', 'shelves', '*', 'books', '**'], { name: [1, 5] }, ''],
    ['/v1/{name=**}', ['v1', '**'], { name: [1, 2] }, ''],
    ['/v1/{a}/x/{b=y/*}', ['v1', '*', 'x', 'y', '*'], { a: [1, 2], b: [3, 5] }, ''],
    ['/v1/{a}/{b}', ['v1', '*', '*'], { a: [1, 2], b: [2, 3] }, ''],
    ['/v1/{a=fixed}', ['v1', 'fixed'], { a: [1, 2] }, ''],
    ['/v1/orders:watch', ['v1', 'orders'], {}, 'watch'],
    ['/v1/{id}:cancel', ['v1', '*'], { id: [1, 2] }, 'cancel'],
    ['/v1/{name=**}:move', ['v1', '**'], { name: [1, 2] }, 'move'],
    ['/v1/*:x', ['v1', '*'], {}, 'x'],
    ['/a:b:c', ['a:b'], {}, 'c'],
    ['/a:b/c', ['a:b', 'c'], {}, ''],
    ['/{v=a:b}', ['a:b'], { v: [0, 1] }, ''],
    ['/pkg.Service/Method', ['pkg.Service', 'Method'], {}, ''],
    ["/~a-b_c.d!$&'()+,;=@/x", ["~a-b_c.d!$&'()+,;=@", 'x'], {}, ''],
    ['/a%20b/%c3%a9', ['a%20b', '%C3%A9'], {}, ''],
    ['/%41%2d%7e', ['A-~'], {}, ''],
    ['/%2A', ['%2A'], {}, ''],
  ];
  test.each(accepted)('%s', (text, segments, variables, verb) => {
    const template = parseTemplate(text);
    expect(template.segments).toEqual(segments);
    expect(template.verb).toBe(verb);
    expect(Object.fromEntries(template.variables.map((v) => [v.path.join('.'), [v.from, v.to]]))).toEqual(
      variables,
    );
  });
});

describe('a template that breaks the grammar is refused with its column', () => {
  const refused: [string, number, string][] = [
    ['', 1, 'begins with "/"'],
    ['v1', 1, 'begins with "/"'],
    ['//', 2, 'segment is empty'],
    ['/v1/', 5, 'segment is empty'],
    ['/v1//x', 5, 'segment is empty'],
    ['/:verb', 2, 'segment is empty'],
    ['/v1/:verb', 5, 'segment is empty'],
    ['/v1:', 5, 'verb is empty'],
    ['/v1/{id}:', 10, 'verb is empty'],
    ['/v1/{id', 5, 'not closed'],
    ['/v1/{id=a/*', 5, 'not closed'],
    ['/v1/{id:x', 5, 'not closed'],
    ['/v1/id}', 7, '"}" is not allowed'],
    ['/v1/a{id}', 6, '"{" is not allowed'],
    ['/v1/{id}x', 9, '"/" is missing'],
    ['/v1/{a}{b}', 8, '"/" is missing'],
    ['/v1/{a}:b:c', 8, '"/" is missing'],
    ['/v1/{}', 6, 'not a field path'],
    ['/v1/{=x}', 6, 'not a field path'],
    ['/v1/{a.}', 6, 'not a field path'],
    ['/v1/{.a}', 6, 'not a field path'],
    ['/v1/{1a}', 6, 'not a field path'],
    ['/v1/{a-b}', 6, 'not a field path'],
    ['/v1/{a b}', 6, 'not a field path'],
    ['/v1/{a:b}', 6, 'not a field path'],
    ['/v1/{a=}', 8, 'segment is empty'],
    ['/v1/{a=/x}', 8, 'segment is empty'],
    ['/v1/{a=x/}', 10, 'segment is empty'],
    ['/v1/{a={b}}', 8, 'cannot hold another variable'],
    ['/v1/{a=x/{b}}', 10, 'cannot hold another variable'],
    ['/v1/{a}/{a}', 9, 'bound twice'],
    ['/v1/{a.b}/{a}', 11, 'bind the same field'],
    ['/v1/{a}/{a.b}', 9, 'bind the same field'],
    ['/v1/**/x', 8, 'nothing but a verb may follow "**"'],
    ['/v1/**/**', 8, 'nothing but a verb may follow "**"'],
    ['/v1/{a=**}/x', 12, 'nothing but a verb may follow "**"'],
    ['/v1/{a=**/x}', 11, 'nothing but a verb may follow "**"'],
    ['/v1/{a=**}/{b}', 12, 'nothing but a verb may follow "**"'],
    ['/v1/x*', 6, '"*" is not allowed'],
    ['/v1/***', 5, '"*" is not allowed'],
    ['/v1/a?b', 6, '"?" is not allowed'],
    ['/v1/a#b', 6, '"#" is not allowed'],
    ['/v1/a b', 5, 'must be percent-encoded'],
    ['/v1/gr\u00fcn', 5, 'must be percent-encoded'],
    ['/v1/%zz', 5, 'two hexadecimal digits'],
    ['/v1/%ff', 5, 'not UTF-8'],
    ['/v1/..', 5, 'can never be requested'],
    ['/v1/%2e/x', 5, 'can never be requested'],
    ['/v1/x:y*', 8, '"*" is not allowed'],
  ];
  test.each(refused)('%s', (text, column, words) => {
    const error = catchError(() => parseTemplate(text));
    expect(error).toBeInstanceOf(TemplateError);
    expect(error.message).toContain(words);
    expect(error.column).toBe(column);
    expect(error.message.startsWith(`column ${column}: `)).toBe(true);
  });
});

describe('a template is printed as it would be written', () => {
  test.each([
    '/',
    '/v1/orders',
    '/v1/{id}',
    '/v1/{name=shelves/*}/x/**',
    '/v1/{a}/{b=c}:verb',
    '/v1/{name=**}:move',
  ])('%s', (text) => {
    expect(printTemplate(parseTemplate(text))).toBe(text);
  });

  test('its shape has no variables and one spelling', () => {
    expect(shapeOf(parseTemplate('/v1/{name=shelves/*}/%41:move'))).toBe('/v1/shelves/*/A:move');
  });

  test('any template that is printed is parsed to itself', () => {
    fc.assert(
      fc.property(templates, (template) => {
        expect(parseTemplate(printTemplate(template))).toEqual(template);
      }),
      { numRuns: 1000 },
    );
  });
});

test('any text is a template or a TemplateError with a column inside it', () => {
  const soup = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc
      .array(fc.constantFrom('/', '{', '}', '*', '**', '=', ':', '.', '%', '%41', 'a', 'v1'))
      .map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(soup, (tail) => {
      const text = `/${tail}`;
      try {
        expect(parseTemplate(printTemplate(parseTemplate(text)))).toEqual(parseTemplate(text));
      } catch (error) {
        if (!(error instanceof TemplateError)) throw error;
        expect(error.column).toBeGreaterThan(0);
        expect(error.column).toBeLessThanOrEqual(text.length + 1);
      }
    }),
    { numRuns: 3000 },
  );
});

function catchError(run: () => unknown): TemplateError {
  try {
    run();
  } catch (error) {
    return error as TemplateError;
  }
  throw new Error('nothing was thrown');
}

const literal = fc
  .stringMatching(/^[A-Za-z0-9_~!$&'()+,;=@-]{1,6}$/)
  .filter((text) => text !== '.' && text !== '..');
const name = fc.stringMatching(/^[a-z_][a-z0-9_]{0,5}$/);

/** A well-formed template: pieces are plain segments or variables over some. */
const templates: fc.Arbitrary<Template> = fc
  .record({
    pieces: fc.array(
      fc.record({
        variable: fc.boolean(),
        segments: fc.array(fc.oneof(literal, fc.constant('*')), { minLength: 1, maxLength: 3 }),
      }),
      { maxLength: 5 },
    ),
    rest: fc.constantFrom('none', 'plain', 'variable'),
    names: fc.uniqueArray(name, { minLength: 6, maxLength: 6 }),
    nested: fc.boolean(),
    verb: fc.oneof(fc.constant(''), literal),
  })
  .map(({ pieces, rest, names, nested, verb }) => {
    const segments: string[] = [];
    const variables: Template['variables'][number][] = [];
    for (const [index, piece] of pieces.entries()) {
      const from = segments.length;
      segments.push(...piece.segments);
      const first = names[index] as string;
      if (piece.variable)
        variables.push({ path: nested ? [first, 'x'] : [first], from, to: segments.length });
    }
    if (rest !== 'none') segments.push('**');
    if (rest === 'variable')
      variables.push({ path: [names[5] as string], from: segments.length - 1, to: segments.length });
    return { segments, variables, verb: segments.length === 0 ? '' : verb };
  });
