/** google.api.HttpBody: where a contract says "bytes of a media type", the HTTP body is exactly those bytes. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { Message } from '../../src/call.js';
import { Code, StatusError } from '../../src/status.js';
import { parseContentType } from './accept.js';
import type { Bound, Endpoint } from './table.js';
import { parseTemplate } from './template.js';

/** Which part of a request or reply is an HttpBody: this field of it, or with undefined the whole message. */
export interface RawBody {
  readonly field: DescField | undefined;
  /** Whether path variables may set the HttpBody itself too, so that both have to be compared. */
  readonly shared: boolean;
}

type SingularField = DescField & { readonly fieldKind: 'message' };

/** The value of a google.api.HttpBody. */
export interface HttpBody {
  /** Empty when nobody named one. */
  readonly contentType: string;
  readonly data: Uint8Array;
  /** One encoded google.protobuf.Any, if there is one. */
  readonly extension?: Uint8Array;
}

/** Field numbers of google.api.HttpBody (google/api/httpbody.proto). */
const CONTENT_TYPE = 1;
const DATA = 2;
const EXTENSIONS = 3;

/** What a body without a media type is (RFC 9110 section 8.3). */
const UNKNOWN_TYPE = 'application/octet-stream';
/** What a malformed header is not, when it is taken as one type as a whole. */
const TYPE = /^[^\s;,]+\/[^\s;,]+$/;

function isHttpBody(type: DescMessage | undefined): boolean {
  return type?.typeName === 'google.api.HttpBody';
}

function bodyField(type: DescMessage, name: string): SingularField | undefined {
  const field = type.fields.find((candidate) => candidate.name === name);
  return field?.fieldKind === 'message' && isHttpBody(field.message) ? field : undefined;
}

/** What of an endpoint's requests and replies is raw; undefined where it is a message, and JSON. */
export interface RawBodies {
  readonly request: RawBody | undefined;
  readonly response: RawBody | undefined;
}

const known = new WeakMap<Endpoint, RawBodies>();

/** Worked out at the first request of an endpoint, and kept as long as the endpoint. */
export function rawBodiesOf(endpoint: Endpoint): RawBodies {
  let bodies = known.get(endpoint);
  if (bodies === undefined) {
    bodies = { request: rawRequestOf(endpoint), response: rawResponseOf(endpoint) };
    known.set(endpoint, bodies);
  }
  return bodies;
}

function rawRequestOf({ method, rule }: Endpoint): RawBody | undefined {
  const { input, clientStreaming } = method;
  const { variables } = parseTemplate(rule.template);
  if (rule.body === '*' || (rule.body === '' && clientStreaming))
    return isHttpBody(input) ? { field: undefined, shared: variables.length > 0 } : undefined;
  const field = bodyField(input, rule.body);
  if (field === undefined) return undefined;
  const shared = field.delimitedEncoding || variables.some(({ path }) => path[0] === field.name);
  return { field, shared };
}

function rawResponseOf({ method: { output }, rule }: Endpoint): RawBody | undefined {
  if (rule.responseBody === '') return isHttpBody(output) ? { field: undefined, shared: false } : undefined;
  const field = bodyField(output, rule.responseBody);
  return field === undefined || field.delimitedEncoding ? undefined : { field, shared: false };
}

/** A request's message: what the URL sets, and the body. Throws StatusError INVALID_ARGUMENT where they contradict each other. */
export function bindHttpBody({ field, shared }: RawBody, bound: Bound, body: HttpBody): Message {
  if (shared) {
    const data = Buffer.from(body.data.buffer, body.data.byteOffset, body.data.byteLength);
    return bound.json({ contentType: body.contentType || null, data: data.toString('base64') });
  }
  if (field === undefined) return encodeHttpBody(body);
  // Bound for its refusal alone: the URL may have set another member of the oneof.
  if (field.oneof !== undefined) bound.json({});
  return encodeHttpBody(body, field.number, bound.empty());
}

/**
 * Encodes a body as a message, or as field `number` of one that begins with the fields of `before`. One field, never two
 * that a reader has to merge: not every implementation of protobuf does that. The data is copied once.
 */
export function encodeHttpBody(body: HttpBody, number?: number, before?: Message): Message {
  const { contentType, data, extension } = body;
  const inner = new BinaryWriter();
  if (contentType !== '') inner.tag(CONTENT_TYPE, WireType.LengthDelimited).string(contentType);
  if (extension !== undefined) inner.tag(EXTENSIONS, WireType.LengthDelimited).bytes(extension);
  if (data.length > 0) inner.tag(DATA, WireType.LengthDelimited).uint32(data.length);
  const head = inner.finish();
  if (number === undefined) return Buffer.concat([head, data]);
  const outer = new BinaryWriter().tag(number, WireType.LengthDelimited).uint32(head.length + data.length);
  return Buffer.concat([before ?? new Uint8Array(0), outer.finish(), head, data]);
}

/** The body inside a reply. Its data is a view of `message`. Throws StatusError INTERNAL when the bytes are no such message. */
export function readHttpBody({ field }: RawBody, message: Message): HttpBody {
  try {
    const body = { contentType: '', data: new Uint8Array(0) };
    if (field === undefined) readInto(body, message);
    else for (const part of fieldsOf(message, field.number)) readInto(body, part);
    return body;
  } catch (cause) {
    throw new StatusError(Code.INTERNAL, 'the service sent a reply that is not of its type', { cause });
  }
}

function* fieldsOf(message: Message, number: number): Generator<Uint8Array> {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [no, wireType] = reader.tag();
    if (no === number && wireType === WireType.LengthDelimited) yield reader.bytes();
    else reader.skip(wireType, no);
  }
}

function readInto(body: { contentType: string; data: Uint8Array }, message: Uint8Array): void {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [no, wireType] = reader.tag();
    if (no === CONTENT_TYPE && wireType === WireType.LengthDelimited) body.contentType = reader.string();
    else if (no === DATA && wireType === WireType.LengthDelimited) body.data = reader.bytes();
    else reader.skip(wireType, no);
  }
}

/** Whether a text is a media type with its parameters, if it has any, that can stand in a header. */
export function isMediaType(text: string): boolean {
  return /^[ -~]*$/.test(text) && TYPE.test(parseContentType(text).type);
}

/** The Content-Type header for a reply's body. Throws StatusError INTERNAL for what cannot stand in a header. */
export function contentTypeOf({ contentType }: HttpBody): string {
  if (contentType === '') return UNKNOWN_TYPE;
  if (isMediaType(contentType)) return contentType;
  const cause = new Error(`not a media type: ${JSON.stringify(contentType.slice(0, 100))}`);
  throw new StatusError(Code.INTERNAL, 'the service named a content type that is none', { cause });
}
