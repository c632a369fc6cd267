/** Cutting a multipart form into parts, whatever the chunks it arrives in. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseContentType } from '../gateway/http/accept.js';
import { HttpError } from '../gateway/http/error.js';
import { boundaryOf, FormSplitter, MAX_PARTS } from '../gateway/http/multipart.js';
import { StatusError } from '../src/status.js';

interface ReadPart {
  readonly name: string;
  readonly filename: string | undefined;
  readonly contentType: string;
  readonly data: string;
}

/** The parts of a form, given to the splitter in chunks of this size. Data as latin1. */
function split(form: string | Buffer, chunkBytes = 1_000_000, boundary = 'b'): ReadPart[] {
  const splitter = new FormSplitter(boundary);
  const bytes = typeof form === 'string' ? Buffer.from(form) : form;
  const parts: ReadPart[] = [];
  let open: { data: Buffer[] } | undefined;
  const begun: { part: Omit<ReadPart, 'data'>; data: Buffer[] }[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    for (const event of splitter.push(bytes.subarray(at, at + chunkBytes))) {
      if (event.kind === 'part') {
        expect(open).toBeUndefined();
        open = { data: [] };
        begun.push({ part: event.part, ...open });
      } else if (event.kind === 'data') open?.data.push(event.data);
      else open = undefined;
    }
  }
  splitter.end();
  for (const { part, data } of begun) parts.push({ ...part, data: Buffer.concat(data).toString('latin1') });
  return parts;
}

const disposition = (rest: string): string => `Content-Disposition: form-data; ${rest}`;
const form = (...parts: string[]): string => `${parts.map((part) => `--b\r\n${part}\r\n`).join('')}--b--\r\n`;
const text = (name: string, data: string): string => `${disposition(`name="${name}"`)}\r\n\r\n${data}`;

describe('FormSplitter', () => {
  test('gives back the parts, whatever the chunks and however close the data come to the boundary', () => {
    const piece = fc.constantFrom(
      '\r',
      '\n',
      '\r\n',
      '-',
      '--',
      '\r\n-',
      '\r\n--',
      '\r\n--x',
      'b',
      'a',
      '\0',
      'é',
    );
    const data = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''));
    const allowed = data.filter((one) => !`\r\n${one}\r\n--b`.slice(0, -3).includes('\r\n--b'));
    fc.assert(
      fc.property(fc.array(allowed, { maxLength: 5 }), fc.integer({ min: 1, max: 9 }), (datas, chunk) => {
        const body = form(...datas.map((one, index) => text(`f${index}`, one)));
        expect(split(body, chunk).map((part) => part.data)).toEqual(
          datas.map((one) => Buffer.from(one).toString('latin1')),
        );
      }),
      { numRuns: 300 },
    );
  });

  test('gives back what the fetch of Node writes', async () => {
    const sent = new FormData();
    sent.set('title', 'naïve "quotes"\r\n');
    sent.set('file', new File([Buffer.from([0, 13, 10, 45, 45, 255])], 'a "b".bin', { type: 'image/png' }));
    const request = new Request('http://a', { method: 'POST', body: sent });
    const boundary = boundaryOf(parseContentType(request.headers.get('content-type') ?? ''));
    const parts = split(Buffer.from(await request.arrayBuffer()), 7, boundary);
    expect(parts).toEqual([
      {
        name: 'title',
        filename: undefined,
        contentType: 'text/plain',
        data: Buffer.from('naïve "quotes"\r\n').toString('latin1'),
      },
      { name: 'file', filename: 'a "b".bin', contentType: 'image/png', data: '\0\r\n--\xff' },
    ]);
  });

  test.each([
    ['no parts', '--b--', []],
    ['a preamble and an epilogue', `hello\r\n${form(text('a', '1'))}bye --b\r\n`, ['1']],
    ['white space after the boundary', `--b \t\r\n${text('a', '1')}\r\n--b--  `, ['1']],
    ['an empty part', form(text('a', ''), text('b', '2')), ['', '2']],
    ['an empty part without a line of its own', `--b\r\n${text('a', '')}--b--`, ['']],
    ['a part that ends with line breaks', form(text('a', '1\r\n\r\n')), ['1\r\n\r\n']],
    ['a boundary inside a line', form(text('a', 'x--b--')), ['x--b--']],
    ['headers in any case and order', form(`X-A: 1\r\ncontent-DISPOSITION:form-data;name=a\r\n\r\n1`), ['1']],
    [
      'a transfer encoding that changes nothing',
      form(`${disposition('name=a')}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n1`),
      ['1'],
    ],
  ])('reads %s', (_, body, datas) => {
    for (const chunk of [1, 2, 3, 1000]) expect(split(body, chunk).map(({ data }) => data)).toEqual(datas);
  });

  test('a file has its own type, or bytes; a field is text', () => {
    const types = split(
      form(
        `${disposition('name="f"; filename="x.csv"')}\r\nContent-Type: text/csv; charset=UTF-8; header="present"\r\n\r\n1`,
        `${disposition('name="f"; filename=""')}\r\n\r\n1`,
        text('t', '1'),
      ),
    ).map(({ contentType, filename }) => [contentType, filename]);
    expect(types).toEqual([
      ['text/csv; charset=UTF-8; header="present"', 'x.csv'],
      ['application/octet-stream', ''],
      ['text/plain', undefined],
    ]);
  });

  test.each([
    ['nothing', '', /has no part/],
    ['no boundary at all', 'a=1&b=2', /has no part/],
    ['a long preamble', `${'x'.repeat(20_000)}\r\n--b--`, /does not begin with its boundary/],
    ['the middle of a part as its end', `--b\r\n${text('a', '1')}`, /ends inside part 1/],
    ['the middle of the headers as its end', '--b\r\nContent-Dis', /ends inside part 0/],
    ['something after a boundary', `--bx\r\n${text('a', '1')}\r\n--b--`, /something follows the boundary/],
    ['a part without headers', '--b\r\n\r\n1\r\n--b--', /no "content-disposition/],
    ['a part without a name', form('Content-Disposition: form-data\r\n\r\n1'), /no "content-disposition/],
    [
      'another disposition',
      form('Content-Disposition: attachment; name=a\r\n\r\n1'),
      /no "content-disposition/,
    ],
    [
      'a header that is none',
      form(`${disposition('name=a')}\r\nno colon\r\n\r\n1`),
      /a header of part 1 is none/,
    ],
    [
      'a folded header',
      form(`Content-Disposition: form-data;\r\n name=a\r\n\r\n1`),
      /a header of part 1 is none/,
    ],
    [
      'a bare line break in a header',
      form(`Content-Disposition: form-data;\n name=a\r\n\r\n1`),
      /a header of part 1 is none/,
    ],
    ['a header twice', form(`${disposition('name=a')}\r\n${disposition('name=b')}\r\n\r\n1`), /given twice/],
    [
      'base64',
      form(`${disposition('name=a')}\r\nContent-Transfer-Encoding: base64\r\n\r\nMQ==`),
      /transfer encoding/,
    ],
    [
      'a content type that is none',
      form(`${disposition('name=a')}\r\nContent-Type: png\r\n\r\n1`),
      /content type of part 1/,
    ],
    ['headers that are not UTF-8', Buffer.from(form(text('\xff', '1')), 'latin1'), /not UTF-8/],
  ])('refuses %s', (_, body, message) => {
    expect(() => split(body)).toThrow(message);
    expect(() => split(body, 1)).toThrow(message);
    expect(() => split(body, 1)).toThrow(StatusError);
  });

  test('takes white space around the values of headers, and little of it behind a boundary', () => {
    const spaced = `--b \t\r\nX-A: a${' '.repeat(2000)}b  \r\n${text('a', '1')}\r\n--b--\r\n`;
    for (const chunk of [1, 7, 5000]) expect(split(spaced, chunk)).toMatchObject([{ name: 'a', data: '1' }]);
    expect(() => split(`--b${' '.repeat(200)}\r\n${text('a', '1')}`, 1)).toThrow(/follows the boundary/);
    expect(() => split(form(`X-A: a\v\r\n${text('a', '1')}`))).toThrow(/a header of part 1 is none/);
  });

  test('refuses headers over the limit before all of them are there, and too many parts', () => {
    const splitter = new FormSplitter('b');
    expect(() => splitter.push(Buffer.from(`--b\r\nX-A: ${'x'.repeat(9_000)}`))).toThrow(HttpError);
    expect(() => split(form(...Array(MAX_PARTS + 1).fill(text('a', ''))))).toThrow(/more than 1000 parts/);
  });
});

test('whatever bytes come, the answer is parts or a refusal, and the same for any chunks', () => {
  const piece = fc.constantFrom(
    '--b',
    '--b--',
    '\r\n',
    '\r\n\r\n',
    disposition('name=a'),
    ': ',
    '"',
    '\0',
    '\xff',
    ' ',
    'x',
  );
  const outcome = (bytes: Buffer, chunk: number): unknown => {
    try {
      return split(bytes, chunk);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      return error.message;
    }
  };
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), fc.integer({ min: 1, max: 7 }), (pieces, chunk) => {
      const bytes = Buffer.from(pieces.join(''), 'latin1');
      expect(outcome(bytes, chunk)).toEqual(outcome(bytes, 10_000));
    }),
    { numRuns: 2000 },
  );
});

test('a content type without a boundary that is one is refused', () => {
  const read = (header: string): string => boundaryOf(parseContentType(header));
  expect(read('multipart/form-data; boundary="a b"')).toBe('a b');
  for (const header of [
    'multipart/form-data',
    'multipart/form-data; boundary=""',
    'multipart/form-data; boundary="a "',
  ])
    expect(() => read(header)).toThrow(/needs a boundary/);
  expect(() => read(`multipart/form-data; boundary=${'x'.repeat(71)}`)).toThrow(StatusError);
});
