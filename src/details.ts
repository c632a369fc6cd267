/** google.rpc error details: their types, and google.rpc.Status as `grpc-status-details-bin` carries it. */
import { create, createFileRegistry, type FileRegistry } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  FileDescriptorProtoSchema,
  file_google_protobuf_any,
  file_google_protobuf_duration,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';
import type { Detail } from './status.js';

export interface FieldViolation {
  /** The field as a dotted path in the request, for example `items[0].quantity`. */
  readonly field: string;
  readonly description: string;
}

/** google.rpc.ErrorInfo */
export interface ErrorInfo {
  /** UPPER_SNAKE_CASE, unique within the domain. */
  readonly reason: string;
  /** Who names the reasons, for example `orders.example.com`. */
  readonly domain: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** google.rpc.Status with its details still encoded. */
export interface RpcStatus {
  readonly code: number;
  readonly message: string;
  readonly details: readonly Detail[];
}

function detail(name: string, writer: BinaryWriter): Detail {
  return { typeUrl: `type.googleapis.com/google.rpc.${name}`, value: writer.finish() };
}

/** google.rpc.BadRequest */
export function badRequest(violations: readonly FieldViolation[]): Detail {
  const writer = new BinaryWriter();
  for (const { field, description } of violations) {
    writer.tag(1, WireType.LengthDelimited).fork();
    writeStrings(writer, field, description);
    writer.join();
  }
  return detail('BadRequest', writer);
}

/** google.rpc.ErrorInfo */
export function errorInfo({ reason, domain, metadata = {} }: ErrorInfo): Detail {
  const writer = new BinaryWriter();
  writeStrings(writer, reason, domain);
  for (const [key, value] of Object.entries(metadata)) {
    writer.tag(3, WireType.LengthDelimited).fork();
    writeStrings(writer, key, value);
    writer.join();
  }
  return detail('ErrorInfo', writer);
}

/** google.rpc.RetryInfo: the same call may be made again after so many milliseconds. */
export function retryInfo(ms: number): Detail {
  const whole = Math.max(ms, 0);
  const seconds = Math.floor(whole / 1000);
  const nanos = Math.floor((whole - seconds * 1000) * 1e6);
  const writer = new BinaryWriter().tag(1, WireType.LengthDelimited).fork();
  if (seconds !== 0) writer.tag(1, WireType.Varint).int64(seconds);
  if (nanos !== 0) writer.tag(2, WireType.Varint).int32(nanos);
  return detail('RetryInfo', writer.join());
}

export interface QuotaViolation {
  /** Whose quota it is: `principal:u1` or `address:192.0.2.7`. */
  readonly subject: string;
  readonly description: string;
}

/** google.rpc.QuotaFailure */
export function quotaFailure(violations: readonly QuotaViolation[]): Detail {
  const writer = new BinaryWriter();
  for (const { subject, description } of violations) {
    writer.tag(1, WireType.LengthDelimited).fork();
    writeStrings(writer, subject, description);
    writer.join();
  }
  return detail('QuotaFailure', writer);
}

/** google.rpc.RequestInfo: the id by which logs know the request. */
export function requestInfo(id: string): Detail {
  const writer = new BinaryWriter();
  writeStrings(writer, id, '');
  return detail('RequestInfo', writer);
}

/** Fields 1 and 2, left out when empty. */
function writeStrings(writer: BinaryWriter, first: string, second: string): void {
  if (first !== '') writer.tag(1, WireType.LengthDelimited).string(first);
  if (second !== '') writer.tag(2, WireType.LengthDelimited).string(second);
}

/** The delay of the first google.rpc.RetryInfo in milliseconds; undefined if there is none that can be read. */
export function readRetryDelay(details: readonly Detail[]): number | undefined {
  const info = details.find(({ typeUrl }) => typeUrl.endsWith('/google.rpc.RetryInfo'));
  return info && readable(() => readDelay(info.value));
}

function readDelay(bytes: Uint8Array): number | undefined {
  let ms: number | undefined;
  eachField(bytes, (tag, reader) => {
    if (tag !== 10) return false;
    ms ??= 0;
    eachField(reader.bytes(), (inner, duration) => {
      if (inner === 8) ms = Number(ms) + Number(duration.int64()) * 1000;
      else if (inner === 16) ms = Number(ms) + duration.int32() / 1e6;
      else return false;
      return true;
    });
    return true;
  });
  return ms === undefined || ms < 0 ? undefined : ms;
}

/** The `reason` of the first google.rpc.ErrorInfo that can be read. */
export function readErrorReason(details: readonly Detail[]): string | undefined {
  const info = details.find(({ typeUrl }) => typeUrl.endsWith('/google.rpc.ErrorInfo'));
  if (info === undefined) return undefined;
  let reason: string | undefined;
  return readable(() => {
    eachField(info.value, (tag, reader) => {
      if (tag !== 10) return false;
      reason = reader.string();
      return true;
    });
    return reason;
  });
}

/** Reads google.rpc.Status, the content of `grpc-status-details-bin`; undefined for bytes that are none. */
export function decodeStatus(bytes: Uint8Array): RpcStatus | undefined {
  return readable(() => {
    const status = { code: 0, message: '', details: [] as Detail[] };
    eachField(bytes, (tag, reader) => {
      if (tag === 8) status.code = reader.int32();
      else if (tag === 18) status.message = reader.string();
      else if (tag === 26) status.details.push(readAny(reader.bytes()));
      else return false;
      return true;
    });
    return status;
  });
}

function readAny(bytes: Uint8Array): Detail {
  const any: { typeUrl: string; value: Uint8Array } = { typeUrl: '', value: new Uint8Array() };
  eachField(bytes, (tag, reader) => {
    if (tag === 10) any.typeUrl = reader.string();
    else if (tag === 18) any.value = reader.bytes();
    else return false;
    return true;
  });
  return any;
}

/** Calls `read` with every wire tag (number << 3 | wire type); what it answers false to is passed over. */
function eachField(bytes: Uint8Array, read: (tag: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (!read((number << 3) | wireType, reader)) reader.skip(wireType, number);
  }
  if (reader.pos !== reader.len) throw new RangeError('the message is cut short');
}

/** What `read` answers, or undefined: what an upstream sends as details must never hide its status. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Encodes google.rpc.Status. */
export function encodeStatus({ code, message, details }: RpcStatus): Uint8Array {
  const writer = new BinaryWriter();
  if (code !== 0) writer.tag(1, WireType.Varint).int32(code);
  if (message !== '') writer.tag(2, WireType.LengthDelimited).string(message);
  for (const any of details) writer.tag(3, WireType.LengthDelimited).bytes(encodeAny(any));
  return writer.finish();
}

/** Encodes google.protobuf.Any. */
export function encodeAny({ typeUrl, value }: Detail): Uint8Array {
  const writer = new BinaryWriter();
  if (typeUrl !== '') writer.tag(1, WireType.LengthDelimited).string(typeUrl);
  if (value.length > 0) writer.tag(2, WireType.LengthDelimited).bytes(value);
  return writer.finish();
}

/** Field names in the order of their numbers, from 1; `*` marks a repeated one, `:` stands before a type other than string. */
const MESSAGES: Readonly<Record<string, readonly string[]>> = {
  ErrorInfo: ['reason', 'domain', 'metadata*:.google.rpc.ErrorInfo.MetadataEntry'],
  RetryInfo: ['retry_delay:.google.protobuf.Duration'],
  DebugInfo: ['stack_entries*', 'detail'],
  QuotaFailure: ['violations*:.google.rpc.QuotaFailure.Violation'],
  'QuotaFailure.Violation': ['subject', 'description'],
  PreconditionFailure: ['violations*:.google.rpc.PreconditionFailure.Violation'],
  'PreconditionFailure.Violation': ['type', 'subject', 'description'],
  BadRequest: ['field_violations*:.google.rpc.BadRequest.FieldViolation'],
  'BadRequest.FieldViolation': ['field', 'description'],
  RequestInfo: ['request_id', 'serving_data'],
  ResourceInfo: ['resource_type', 'resource_name', 'owner', 'description'],
  Help: ['links*:.google.rpc.Help.Link'],
  'Help.Link': ['description', 'url'],
  LocalizedMessage: ['locale', 'message'],
  Status: ['code:int32', 'message', 'details*:.google.protobuf.Any'],
  'ErrorInfo.MetadataEntry': ['key', 'value'],
};

function fieldProto(spec: string, index: number): object {
  const [, name = '', star, typeName = ''] = /^(\w+)(\*)?(?::(.+))?$/.exec(spec) ?? [];
  return {
    name,
    number: index + 1,
    label: star ? Label.REPEATED : Label.OPTIONAL,
    type: typeName === '' ? Type.STRING : typeName === 'int32' ? Type.INT32 : Type.MESSAGE,
    ...(typeName.startsWith('.') && { typeName }),
    jsonName: name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
  };
}

function messageProto(name: string): object {
  const nested = Object.keys(MESSAGES).filter((other) => other.startsWith(`${name}.`));
  return {
    name: name.slice(name.indexOf('.') + 1),
    field: (MESSAGES[name] ?? []).map(fieldProto),
    nestedType: nested.map(messageProto),
    ...(name.endsWith('Entry') && { options: { mapEntry: true } }),
  };
}

/** google.rpc.Status and the standard error details, for every contract that does not bring them itself. */
export const errorDetailTypes: FileRegistry = createFileRegistry(
  create(FileDescriptorProtoSchema, {
    name: 'google/rpc/error_details.proto',
    package: 'google.rpc',
    syntax: 'proto3',
    dependency: ['google/protobuf/any.proto', 'google/protobuf/duration.proto'],
    messageType: Object.keys(MESSAGES)
      .filter((name) => !name.includes('.'))
      .map(messageProto),
  }),
  (file) => (file === 'google/protobuf/any.proto' ? file_google_protobuf_any : file_google_protobuf_duration),
);
