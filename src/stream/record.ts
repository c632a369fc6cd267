/** What stands in the log of a shared stream: messages with the service's position, breaks, and the end. */
import type { Message, Metadata } from '../call.js';
import { type Code, type Detail, StatusError, statusOf } from '../status.js';
import type { ResetReason } from './feed.js';

/** `token` is the service's position behind the record, if the service has positions and this one is known. */
export type LogRecord =
  /** A call of the service begins: the first record of a log, and of a stream after its end. Clients see nothing of it. */
  | { readonly kind: 'begin'; readonly token: Uint8Array | undefined }
  | { readonly kind: 'message'; readonly message: Message; readonly token: Uint8Array | undefined }
  /** What follows does not continue what was before. */
  | { readonly kind: 'reset'; readonly reason: ResetReason; readonly token: Uint8Array | undefined }
  | { readonly kind: 'end'; readonly error: StatusError | undefined; readonly trailers: Metadata };

/** The service's position behind a record, if it is known. */
export function tokenOf(record: LogRecord): Uint8Array | undefined {
  return record.kind === 'end' ? undefined : record.token;
}

const KINDS = ['begin', 'message', 'reset', 'end'] as const;
/** Beside the kind, in the first byte: the length of a token in two bytes, and the token, follow. */
const HAS_TOKEN = 0x80;
const TOKEN_BYTES_MOST = 0xffff;
const NOTHING = new Uint8Array(0);

interface End {
  readonly code: Code;
  readonly message: string;
  readonly details: readonly { readonly typeUrl: string; readonly value: string }[];
  readonly trailers: Metadata;
}

/** kind | token | message, reason or status */
export function printRecord(record: LogRecord): Uint8Array {
  const kind = KINDS.indexOf(record.kind);
  // A token that is too long to be kept is none: the stream then breaks where it could have been resumed.
  const token =
    record.kind === 'end' || (record.token?.length ?? 0) > TOKEN_BYTES_MOST ? undefined : record.token;
  const head = token === undefined ? [kind] : [kind | HAS_TOKEN, token.length >> 8, token.length & 0xff];
  return Buffer.concat([Buffer.from(head), token ?? NOTHING, contentOf(record)]);
}

function contentOf(record: LogRecord): Uint8Array {
  if (record.kind === 'message') return record.message;
  if (record.kind === 'reset') return Buffer.from(record.reason);
  return record.kind === 'end' ? Buffer.from(JSON.stringify(endOf(record))) : NOTHING;
}

function endOf({ error, trailers }: Extract<LogRecord, { kind: 'end' }>): End {
  return {
    code: error?.code ?? 0,
    message: error?.message ?? '',
    details: (error?.details ?? []).map(({ typeUrl, value }) => ({
      typeUrl,
      value: Buffer.from(value).toString('base64'),
    })),
    trailers: error?.metadata ?? trailers,
  };
}

/** Views of the data, no copies. Throws for what printRecord did not print. */
export function parseRecord(data: Uint8Array): LogRecord {
  const [first = KINDS.length, high = 0, low = 0] = data;
  const kind = KINDS[first & ~HAS_TOKEN];
  const end = first >= HAS_TOKEN ? 3 + ((high << 8) | low) : 1;
  const token = first >= HAS_TOKEN ? data.subarray(3, end) : undefined;
  const content = data.subarray(end);
  switch (kind) {
    case 'begin':
      return { kind, token };
    case 'message':
      return { kind, message: content, token };
    case 'reset':
      return { kind, reason: Buffer.from(content).toString() as ResetReason, token };
    case 'end':
      return parseEnd(JSON.parse(Buffer.from(content).toString()) as End);
    default:
      throw new Error(`a record of unknown kind ${first} in the log of a stream`);
  }
}

function parseEnd({ code, message, details, trailers }: End): LogRecord {
  if (code === 0) return { kind: 'end', error: undefined, trailers };
  const decoded: Detail[] = details.map(({ typeUrl, value }) => ({
    typeUrl,
    value: new Uint8Array(Buffer.from(value, 'base64')),
  }));
  const error = new StatusError(statusOf(code).code, message, { details: decoded, metadata: trailers });
  return { kind: 'end', error, trailers };
}
