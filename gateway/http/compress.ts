/** Content-Encoding of responses, by Accept-Encoding: whole bodies, and streams that are flushed message by message. */
import type { ServerResponse } from 'node:http';
import {
  type BrotliCompress,
  brotliCompress,
  brotliCompressSync,
  constants,
  createBrotliCompress,
  createGzip,
  type Gzip,
  gzip,
  gzipSync,
} from 'node:zlib';
import { drained, write } from './write.js';

export type Coding = 'gzip' | 'br';

/** In the order of preference for a client that does not care: br at this quality is as fast as gzip, and smaller. */
const WHOLE: readonly Coding[] = ['br', 'gzip'];
/** A stream of br takes four times the memory of one of gzip (570 KB, 140 KB), and compresses small messages no better. */
const STREAM: readonly Coding[] = ['gzip', 'br'];
const BROTLI_QUALITY = 4;
/** Bodies below this size are compressed at once, in about 100 us; larger ones on another thread. In bytes. */
const SYNC_BYTES = 16 * 1024;
/** Keeps the memory of a stream small: 2^13 bytes of history instead of 2^15 (gzip) or 2^22 (br). */
const STREAM_WINDOW_BITS = 13;
const STREAM_CHUNK_BYTES = 4 * 1024;

const ENCODING = /^[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:;[ \t]*q=([0-9.]{1,5})[ \t]*)?$/i;

/**
 * The coding of a body of `size` bytes, if any. Below `above` bytes a body is coded only for a client that refuses it plain.
 * One that refuses all that we have gets it plain all the same.
 */
export function codingOfBody(header: string | undefined, size: number, above: number): Coding | undefined {
  if (header === undefined || (size < above && !header.includes(';'))) return undefined;
  const qualities = parseQualities(header);
  const plain = qualities.get('identity') ?? qualities.get('*');
  return size < above && plain !== 0 ? undefined : best(qualities, WHOLE);
}

/** The coding of a streamed body, if any. */
export function codingOfStream(header: string | undefined): Coding | undefined {
  return header === undefined ? undefined : best(parseQualities(header), STREAM);
}

/** The coding that a client likes best (RFC 9110 section 12.5.3). */
function best(qualities: ReadonlyMap<string, number>, codings: readonly Coding[]): Coding | undefined {
  let chosen: Coding | undefined;
  let highest = 0;
  for (const coding of codings) {
    const alias = coding === 'gzip' ? qualities.get('x-gzip') : undefined;
    const quality = qualities.get(coding) ?? alias ?? qualities.get('*') ?? 0;
    if (quality > highest) [chosen, highest] = [coding, quality];
  }
  // Nobody who names a coding means the plain body, but one who names that too, and likes it better.
  return (qualities.get('identity') ?? 0) > highest ? undefined : chosen;
}

function parseQualities(header: string): ReadonlyMap<string, number> {
  const qualities = new Map<string, number>();
  for (const part of header.split(',')) {
    const [, name, quality] = ENCODING.exec(part) ?? [];
    if (name !== undefined)
      qualities.set(name.toLowerCase(), quality === undefined ? 1 : Number(quality) || 0);
  }
  return qualities;
}

/** Types whose bytes are text, or like it: what is compressed already would only cost. */
const COMPRESSIBLE =
  /^(?:text\/.*|application\/(?:.*\+)?(?:json|xml|yaml|protobuf|x-protobuf|x-ndjson|jsonl|ndjson|javascript|x-javascript|ecmascript|graphql|sql|rtf|wasm|manifest)|image\/(?:svg\+xml|bmp)|font\/(?:ttf|otf))[ \t]*(?:;|$)/i;

export function isCompressible(contentType: string): boolean {
  return COMPRESSIBLE.test(contentType);
}

/** The whole body, at once if it is small. */
export function compress(coding: Coding, body: Uint8Array): Buffer | Promise<Buffer> {
  if (coding === 'gzip') {
    if (body.length < SYNC_BYTES) return gzipSync(body);
    return promised((done) => gzip(body, done));
  }
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY,
    [constants.BROTLI_PARAM_SIZE_HINT]: body.length,
  };
  if (body.length < SYNC_BYTES) return brotliCompressSync(body, { params });
  return promised((done) => brotliCompress(body, { params }, done));
}

function promised(run: (done: (error: Error | null, result: Buffer) => void) => void): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    run((error, result) => (error === null ? resolve(result) : reject(error)));
  });
}

/** A streamed response body. */
export interface BodyWriter {
  /** Resolves when it is safe to write more, or when the client is gone; undefined for at once. */
  write(chunk: string | Uint8Array): Promise<void> | undefined;
  /** Writes the last part and ends the response. */
  end(chunk?: string): void;
}

/** Writes as it comes, or compressed with what is written so far visible to the client at once. */
export function createBodyWriter(response: ServerResponse, coding: Coding | undefined): BodyWriter {
  if (coding !== undefined) return new CodedWriter(response, coding);
  return {
    write: (chunk) => write(response, chunk),
    end: (chunk) => void (chunk === undefined ? response.end() : response.end(chunk)),
  };
}

function createCoder(coding: Coding): Gzip | BrotliCompress {
  if (coding === 'gzip') {
    return createGzip({
      flush: constants.Z_SYNC_FLUSH,
      windowBits: STREAM_WINDOW_BITS,
      memLevel: 5,
      chunkSize: STREAM_CHUNK_BYTES,
    });
  }
  return createBrotliCompress({
    flush: constants.BROTLI_OPERATION_FLUSH,
    chunkSize: STREAM_CHUNK_BYTES,
    params: {
      [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: STREAM_WINDOW_BITS,
    },
  });
}

class CodedWriter implements BodyWriter {
  private readonly coder: Gzip | BrotliCompress;

  constructor(
    private readonly response: ServerResponse,
    coding: Coding,
  ) {
    this.coder = createCoder(coding);
    const coder = this.coder;
    coder.on('data', (chunk: Buffer) => response.write(chunk));
    coder.on('end', () => response.end());
    // A coder that is destroyed in the middle says so; the response that it belonged to is gone then.
    coder.on('error', () => response.destroy());
    response.once('close', () => coder.destroy());
  }

  write(chunk: string | Uint8Array): Promise<void> {
    const { coder, response } = this;
    return new Promise((resolve) => {
      // The coder has handed out all of the chunk when this is called.
      coder.write(chunk, () => {
        if (response.destroyed || !response.writableNeedDrain) resolve();
        else resolve(drained(response));
      });
    });
  }

  end(chunk?: string): void {
    if (chunk === undefined) this.coder.end();
    else this.coder.end(chunk);
  }
}
