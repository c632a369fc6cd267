/** google.rpc error details: made, read, carried in google.rpc.Status, and shown as JSON. */
import { create, fromBinary, fromJson, toBinary, toJson } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createCodec } from '../src/codec/codec.js';
import {
  badRequest,
  decodeStatus,
  encodeStatus,
  errorDetailTypes,
  errorInfo,
  readRetryDelay,
  retryInfo,
} from '../src/details.js';
import type { Detail } from '../src/status.js';
import { types } from './support/codec/types.js';

const codec = createCodec(types);
const STATUS = { code: 5, message: 'no order 7 – "ü"', details: [] };

function shown(detail: Detail): unknown {
  const desc = errorDetailTypes.getMessage(detail.typeUrl.slice('type.googleapis.com/'.length));
  return desc && toJson(desc, fromBinary(desc, detail.value));
}

describe('details', () => {
  test('are the messages that they say they are', () => {
    const violations = [
      { field: 'items[0].quantity', description: 'expected an int32' },
      { field: '', description: 'b' },
    ];
    expect(shown(badRequest(violations))).toEqual({
      fieldViolations: [
        { field: 'items[0].quantity', description: 'expected an int32' },
        { description: 'b' },
      ],
    });
    expect(shown(badRequest([]))).toEqual({});
    const info = { reason: 'QUOTA', domain: 'example.com', metadata: { a: 'b', '': '' } };
    expect(shown(errorInfo(info))).toEqual(info);
    expect(shown(errorInfo({ reason: 'R', domain: 'd' }))).toEqual({ reason: 'R', domain: 'd' });
    expect(shown(retryInfo(1500))).toEqual({ retryDelay: '1.500s' });
    expect(shown(retryInfo(0))).toEqual({ retryDelay: '0s' });
    expect(shown(retryInfo(-5))).toEqual({ retryDelay: '0s' });
    expect(shown(retryInfo(999.9999999))).toEqual({ retryDelay: '0.999999999s' });
  });

  test('a retry delay is read back', () => {
    for (const ms of [0, 1, 250.5, 1500, 86_400_000]) {
      expect(readRetryDelay([badRequest([]), retryInfo(ms)])).toBeCloseTo(ms, 5);
    }
    const typeUrl = 'type.googleapis.com/google.rpc.RetryInfo';
    expect(readRetryDelay([])).toBeUndefined();
    expect(readRetryDelay([badRequest([])])).toBeUndefined();
    expect(readRetryDelay([{ typeUrl, value: Buffer.of() }])).toBeUndefined();
    expect(readRetryDelay([{ typeUrl, value: Buffer.of(0x0a, 9) }])).toBeUndefined();
    expect(readRetryDelay([{ typeUrl, value: Buffer.of(0x0a, 1, 0xff) }])).toBeUndefined();
    const negative = Buffer.from('0a0b08ffffffffffffffffff01', 'hex');
    expect(readRetryDelay([{ typeUrl, value: negative }])).toBeUndefined();
  });

  test('the built-in types have the public names and numbers of google.rpc', () => {
    const names = [
      'Status',
      'ErrorInfo',
      'RetryInfo',
      'DebugInfo',
      'QuotaFailure',
      'PreconditionFailure',
      'BadRequest',
      'RequestInfo',
      'ResourceInfo',
      'Help',
      'LocalizedMessage',
    ];
    const listed = names.map((name) => {
      const desc = errorDetailTypes.getMessage(`google.rpc.${name}`);
      return `${name} ${desc?.fields.map(({ number, jsonName }) => `${number}=${jsonName}`).join(' ')}`;
    });
    expect(listed).toEqual([
      'Status 1=code 2=message 3=details',
      'ErrorInfo 1=reason 2=domain 3=metadata',
      'RetryInfo 1=retryDelay',
      'DebugInfo 1=stackEntries 2=detail',
      'QuotaFailure 1=violations',
      'PreconditionFailure 1=violations',
      'BadRequest 1=fieldViolations',
      'RequestInfo 1=requestId 2=servingData',
      'ResourceInfo 1=resourceType 2=resourceName 3=owner 4=description',
      'Help 1=links',
      'LocalizedMessage 1=locale 2=message',
    ]);
    const debug = errorDetailTypes.getMessage('google.rpc.DebugInfo');
    expect(debug && toBinary(debug, fromJson(debug, { stackEntries: ['a', 'b'], detail: 'c' }))).toHaveLength(
      9,
    );
    const help = errorDetailTypes.getMessage('google.rpc.Help');
    expect(help && toJson(help, fromJson(help, { links: [{ description: 'a', url: 'b' }] }))).toBeDefined();
  });
});

describe('google.rpc.Status', () => {
  test('goes both ways, as the reference has it', () => {
    const status = { ...STATUS, details: [retryInfo(5), { typeUrl: 'x/y', value: Buffer.of(1, 2) }] };
    const bytes = encodeStatus(status);
    const read = decodeStatus(bytes);
    expect(read).toMatchObject({ code: 5, message: STATUS.message });
    expect(read?.details.map(({ typeUrl, value }) => [typeUrl, [...value]])).toEqual(
      status.details.map(({ typeUrl, value }) => [typeUrl, [...value]]),
    );
    const desc = errorDetailTypes.getMessage('google.rpc.Status');
    expect(desc && toBinary(desc, fromBinary(desc, bytes))).toEqual(new Uint8Array(bytes));
    expect(desc && decodeStatus(toBinary(desc, create(desc)))).toEqual({ code: 0, message: '', details: [] });
  });

  test('garbage is no status, and never an exception', () => {
    expect(decodeStatus(Buffer.from('garbage'))).toBeUndefined();
    expect(decodeStatus(Buffer.of(0x1a, 5, 1))).toBeUndefined();
    expect(decodeStatus(Buffer.of(0x08))).toBeUndefined();
    // A known field of another wire type is an unknown field.
    expect(decodeStatus(Buffer.of(0x0a, 1, 0x61))).toEqual({ code: 0, message: '', details: [] });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => void decodeStatus(bytes)));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), (value) => {
        readRetryDelay([{ typeUrl: 'type.googleapis.com/google.rpc.RetryInfo', value }]);
      }),
    );
  });

  test('is printed with its details, known or not, and always with an array of them', () => {
    expect(codec.printStatus(STATUS)).toBe(
      `{"code":5,"message":${JSON.stringify(STATUS.message)},"details":[]}`,
    );
    const details = [
      errorInfo({ reason: 'GONE', domain: 'd' }),
      { typeUrl: 'type.googleapis.com/codec.test.Money', value: Buffer.of(0x18, 7) },
      { typeUrl: 'type.googleapis.com/not.Known', value: Buffer.of(1, 2, 3) },
      { typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value: Buffer.of(0xff) },
      { typeUrl: '', value: Buffer.of(1) },
    ];
    expect(JSON.parse(codec.printStatus({ ...STATUS, details }))).toEqual({
      ...STATUS,
      details: [
        { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'GONE', domain: 'd' },
        { '@type': 'type.googleapis.com/codec.test.Money', nanos: 7 },
        { '@type': 'type.googleapis.com/not.Known', value: 'AQID' },
        { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', value: '/w==' },
        { '@type': '', value: 'AQ==' },
      ],
    });
  });
});
