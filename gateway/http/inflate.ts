/** Content-Encoding of requests: gzip, deflate and br, inflated within limits (RFC 9110 section 8.4, RFC 7694). */
import type { IncomingMessage } from 'node:http';
import { pipeline } from 'node:stream';
import {
  type BrotliDecompress,
  brotliDecompress,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  type Gunzip,
  gunzip,
  type Inflate,
  inflate,
} from 'node:zlib';
import { Code, StatusError } from '../../src/status.js';
import { HttpError, invalid } from './error.js';

export type RequestCoding = 'gzip' | 'deflate' | 'br';

const ACCEPTED = 'gzip, deflate, br';
const CODINGS: Readonly<Record<string, RequestCoding | 'identity'>> = {
  identity: 'identity',
  gzip: 'gzip',
  'x-gzip': 'gzip',
  deflate: 'deflate',
  br: 'br',
};
/** A stream may be as long as it likes, but not grow out of nothing: text compresses 5 to 50 times, zeros over 1,000 times. */
const MAX_RATIO = 200;

/**
 * How the body is encoded; undefined for not at all. Throws HttpError 415 with Accept-Encoding for what we cannot read;
 * several codings, one over the other, are among that.
 */
export function requestCoding({ headers }: IncomingMessage): RequestCoding | undefined {
  const header = headers['content-encoding'];
  if (header === undefined || header === '') return undefined;
  const name = header.trim().toLowerCase();
  const coding = Object.hasOwn(CODINGS, name) ? CODINGS[name] : undefined;
  if (coding !== undefined) return coding === 'identity' ? undefined : coding;
  throw new HttpError(
    Code.INVALID_ARGUMENT,
    `header content-encoding: ${header.slice(0, 100)} is not served here; send one of ${ACCEPTED}`,
    { http: 415, headers: { 'accept-encoding': ACCEPTED } },
  );
}

function tooLarge(limit: number): HttpError {
  return new HttpError(Code.RESOURCE_EXHAUSTED, `body: larger than ${limit} bytes when it is inflated`, {
    http: 413,
    limit: 'inflated',
  });
}

/** What zlib says of bytes that are not what the header says. Its own words stay in the log. */
function undecodable(coding: RequestCoding, cause: unknown): StatusError {
  return invalid('body', `it is not valid ${coding}`, cause);
}

/** What zlib answers with `info`. */
interface Inflated {
  readonly buffer: Buffer;
  /** `bytesWritten`: how much of the input it has used. */
  readonly engine: { readonly bytesWritten: number };
}
type Done = (error: NodeJS.ErrnoException | null, result: unknown) => void;
type Whole = (body: Buffer, options: { maxOutputLength: number; info: boolean }, done: Done) => void;

const WHOLE: Readonly<Record<RequestCoding, Whole>> = {
  gzip: gunzip,
  deflate: inflate,
  br: (body, options, done) => brotliDecompress(body, options, done),
};

/** A whole body. Rejects with HttpError 413 at the first byte over `limit`, with INVALID_ARGUMENT for a broken one. */
export function inflateWhole(coding: RequestCoding, body: Buffer, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    WHOLE[coding](body, { maxOutputLength: limit, info: true }, (error, result) => {
      if (error !== null) {
        reject(error.code === 'ERR_BUFFER_TOO_LARGE' ? tooLarge(limit) : undecodable(coding, error));
        return;
      }
      const { buffer, engine } = result as Inflated;
      if (engine.bytesWritten === body.length) resolve(buffer);
      else reject(undecodable(coding, new Error('something follows its end')));
    });
  });
}

const STREAM: Readonly<Record<RequestCoding, () => Gunzip | Inflate | BrotliDecompress>> = {
  gzip: createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/**
 * A stream of chunks, inflated as far as the reader has come. Over `limit` bytes it may hold at most 200 times what the
 * client sent: rejects with HttpError 413 beyond, with INVALID_ARGUMENT for a broken one.
 */
export async function* inflateChunks(
  coding: RequestCoding,
  chunks: AsyncIterable<Buffer>,
  limit: number,
): AsyncGenerator<Buffer> {
  const inflater = STREAM[coding]();
  let received = 0;
  let inflated = 0;
  async function* counted(): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      received += chunk.length;
      yield chunk;
    }
  }
  // Its outcome is the inflater's, which the loop below sees.
  pipeline(counted(), inflater, () => {});
  try {
    for await (const chunk of inflater as AsyncIterable<Buffer>) {
      inflated += chunk.length;
      if (inflated > limit && inflated > MAX_RATIO * received) throw tooLarge(limit);
      yield chunk;
    }
    if (inflater.bytesWritten < received) throw new Error('something follows its end');
  } catch (thrown) {
    // No bytes at all are an empty body, compressed or not.
    if (thrown instanceof StatusError) throw thrown;
    if (received > 0) throw undecodable(coding, thrown);
  } finally {
    // Ends the pipeline too, if the client sends on behind the end.
    inflater.destroy();
  }
}
