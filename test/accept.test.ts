/** Content negotiation: which offer an Accept header likes best, and what a Content-Type says. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { negotiate, parseContentType } from '../gateway/http/accept.js';

const JSON_TYPE = 'application/json';
const SSE = 'text/event-stream';
const LINES = 'application/x-ndjson';
const offers = [JSON_TYPE, LINES, SSE];

describe('an Accept header chooses', () => {
  test.each([
    ['the first offer when it is absent', undefined, JSON_TYPE],
    ['the first offer when it is empty', '', JSON_TYPE],
    ['the first offer for anything', '*/*', JSON_TYPE],
    ['an exact type', SSE, SSE],
    ['whatever the case', 'Text/Event-Stream', SSE],
    ['a wildcard subtype', 'text/*', SSE],
    ['the first of a wildcard subtype', 'application/*', JSON_TYPE],
    ['the highest quality', 'application/json;q=0.5, text/event-stream;q=0.9', SSE],
    ['quality 1 when none is given', 'application/json;q=0.9, application/x-ndjson', LINES],
    ['spaces around parameters', 'application/json ; q=0.1 , text/event-stream ;q=0.2', SSE],
    ['the named one of two equal qualities', 'text/event-stream, */*', SSE],
    ['the offer that comes first of two named alike', 'text/event-stream, application/json', JSON_TYPE],
    ['what a specific range says, not a general one', 'application/json;q=0.1, */*;q=0.5', LINES],
    ['around a type with q=0', 'application/json;q=0, */*', LINES],
    ['around a range with q=0', 'application/*;q=0, */*', SSE],
    ['an exact type although its range has q=0', 'application/*;q=0, application/x-ndjson', LINES],
    ['nothing when all is refused', '*/*;q=0', undefined],
    ['nothing for a foreign type', 'text/html', undefined],
    ['nothing for a type with parameters that no offer has', 'application/json;version=2', undefined],
    ['UTF-8 as what we speak anyway', 'application/json; charset=UTF-8', JSON_TYPE],
    ['nothing for another charset', 'application/json; charset=latin1', undefined],
    ['the type of a browser', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', JSON_TYPE],
    ['three decimals', 'application/json;q=0.998, text/event-stream;q=0.999', SSE],
    ['without a part with a malformed quality', 'text/event-stream;q=2, application/x-ndjson;q=0.1', LINES],
    [
      'without a part with a quality that is no number',
      'text/event-stream;q=high, application/json',
      JSON_TYPE,
    ],
    ['without a part that is no range', 'event-stream, , ;, application/x-ndjson', LINES],
    ['the first offer when every part is malformed', 'json', JSON_TYPE],
    ['a comma inside a quoted parameter', 'text/html;x="a,text/event-stream", application/x-ndjson', LINES],
    ['a quoted quality', 'application/json;q="0.1", text/event-stream;q=0.2', SSE],
    ['nothing of a wildcard that RFC 9110 has not', '*/json', undefined],
  ])('%s', (_, header, expected) => {
    expect(negotiate(header, offers)).toBe(expected);
  });

  test('an offer with parameters, by them', () => {
    const versions = ['application/json', 'application/json;version=2'];
    expect(negotiate('application/json;version=2', versions)).toBe(versions[1]);
    expect(negotiate('application/json;version=2, application/json;q=0.1', versions)).toBe(versions[1]);
    expect(negotiate('application/json', versions)).toBe(versions[0]);
  });

  test('nothing among no offers', () => {
    expect(negotiate(undefined, [])).toBeUndefined();
    expect(negotiate('*/*', [])).toBeUndefined();
  });

  test('an offer or nothing, whatever it says', () => {
    const pieces = [
      'application/json',
      'text/*',
      '*/*',
      ';q=',
      '0.5',
      ',',
      ';',
      '"',
      '\\',
      '=',
      ' ',
      'x',
      '/',
    ];
    const soup = fc.array(fc.constantFrom(...pieces), { maxLength: 30 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(soup, fc.string({ unit: 'binary' })), (header) => {
        expect([...offers, undefined]).toContain(negotiate(header, offers));
      }),
      { numRuns: 2000 },
    );
  });

  test('a hostile header in linear time', () => {
    const start = performance.now();
    for (const piece of [',', ';', '"', '\\', 'a/b;x="', 'a/b,', '; ', ' '])
      negotiate(piece.repeat(16_000), offers);
    expect(performance.now() - start).toBeLessThan(1000);
  });
});

describe('a Content-Type is parsed to a type and parameters', () => {
  test.each([
    ['application/json', 'application/json', {}],
    ['Application/JSON; Charset=UTF-8', 'application/json', { charset: 'utf-8' }],
    ['multipart/form-data; boundary="a;B\\"c"', 'multipart/form-data', { boundary: 'a;B"c' }],
    ['application/problem+json ;a=b;  c=D', 'application/problem+json', { a: 'b', c: 'D' }],
    ['text/plain;', 'text/plain', {}],
    ['  text/plain  ', 'text/plain', {}],
    [undefined, '', {}],
    ['', '', {}],
    ['JSON', 'json', {}],
    ['application/json; charset', 'application/json; charset', {}],
    ['application/json, text/plain', 'application/json, text/plain', {}],
    ['application/json; a=1; A=2', 'application/json; a=1; a=2', {}],
    ['application/json; a="open', 'application/json; a="open', {}],
  ])('%s', (header, type, parameters) => {
    const parsed = parseContentType(header);
    expect(parsed.type).toBe(type);
    expect(Object.fromEntries(parsed.parameters)).toEqual(parameters);
  });
});
