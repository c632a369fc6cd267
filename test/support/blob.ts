/** The blob service of blob.proto: a real gRPC server that takes and gives bytes, and tells what it has seen. */
import { createHash, randomBytes } from 'node:crypto';
import { fromBinary } from '@bufbuild/protobuf';
import { StructSchema } from '@bufbuild/protobuf/wkt';
import {
  loadPackageDefinition,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ROOT } from './probe.js';

export const BLOB_PROTO = `${ROOT}test/support/contracts/blob.proto`;

interface Body {
  readonly content_type: string;
  readonly data: Buffer;
  readonly extensions?: readonly { readonly type_url: string; readonly value: Buffer }[];
}
interface FileMessage {
  readonly name: string;
  readonly title: string;
  readonly tags: readonly string[];
  readonly content: Body | null;
  readonly upload?: Body | null;
  readonly url?: string;
}
interface Name {
  readonly name: string;
  readonly mode: string;
  readonly count: number;
  readonly bytes: number;
}

/** One message as the service reports it. */
export interface Seen {
  readonly name?: string;
  readonly title?: string;
  readonly tags?: readonly string[];
  readonly type?: string;
  readonly bytes: number;
  readonly part?: unknown;
}
export interface Report {
  readonly seen: readonly Seen[];
  readonly bytes: number;
  readonly sha: string;
}

export interface Blob {
  readonly address: string;
  /** Calls that were cancelled, by the name of their method. */
  readonly cancelled: string[];
  /** Bytes that have arrived in client streams. */
  received: number;
  /** Messages that downloads could hand to their transport. */
  sent: number;
  /** Whether client streams are left unread. */
  stalled: boolean;
  kill(): void;
}

const FAILURE = {
  code: status.FAILED_PRECONDITION,
  details: 'the blob service refuses',
  metadata: new Metadata(),
};

export const sha = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex').slice(0, 16);

/** Every message, and what the data of all of them are together. */
class Recorder {
  private readonly seen: Seen[] = [];
  private readonly hash = createHash('sha256');
  private bytes = 0;

  add(body: Body | null | undefined, file?: FileMessage): void {
    const data = body?.data ?? Buffer.alloc(0);
    this.hash.update(data);
    this.bytes += data.length;
    const [extension] = body?.extensions ?? [];
    this.seen.push({
      ...(file?.name ? { name: file.name } : {}),
      ...(file?.title ? { title: file.title } : {}),
      ...(file?.tags.length ? { tags: file.tags } : {}),
      ...(body?.content_type ? { type: body.content_type } : {}),
      bytes: data.length,
      ...(extension ? { part: partOf(extension) } : {}),
    });
  }

  report(): { text: string } {
    const report: Report = { seen: this.seen, bytes: this.bytes, sha: this.hash.digest('hex').slice(0, 16) };
    return { text: JSON.stringify(report) };
  }
}

function partOf({ type_url, value }: { type_url: string; value: Buffer }): unknown {
  if (type_url !== 'type.googleapis.com/google.protobuf.Struct') return type_url;
  const { fields } = fromBinary(StructSchema, value);
  return Object.fromEntries(Object.entries(fields).map(([name, { kind }]) => [name, kind.value]));
}

/** What a client asks for by name: its content type and bytes. */
function bodyOf({ name, mode, bytes }: Name): Body {
  if (mode === 'untyped') return { content_type: '', data: Buffer.from(name) };
  if (mode === 'bad-type') return { content_type: 'text/plain\r\nx-evil: 1', data: Buffer.from(name) };
  if (mode === 'text' || (mode === 'tagged' && bytes > 0))
    return { content_type: 'text/plain; charset=utf-8', data: Buffer.alloc(bytes, 'abcdefgh ') };
  return { content_type: 'image/png', data: Buffer.alloc(bytes || 4, name) };
}

/** Starts the service on 127.0.0.1. */
export async function startBlob(options: Record<string, number> = {}): Promise<Blob> {
  const definition = loadSync(BLOB_PROTO, {
    includeDirs: [`${ROOT}proto`, `${ROOT}node_modules/protobufjs`],
    keepCase: true,
    longs: String,
    defaults: true,
  });
  const root = loadPackageDefinition(definition) as unknown as {
    blob: { v1: { BlobService: { service: Record<string, MethodDefinition<unknown, unknown>> } } };
  };
  const state = { cancelled: [] as string[], received: 0, sent: 0, stalled: false };
  const server = new Server(options);
  server.addService(root.blob.v1.BlobService.service, handlers(state));
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    ),
  );
  return Object.assign(state, { address: `127.0.0.1:${bound}`, kill: () => server.forceShutdown() });
}

type State = Pick<Blob, 'cancelled' | 'received' | 'sent' | 'stalled'>;

function handlers(state: State) {
  const receive =
    <T>(method: string, record: (recorder: Recorder, message: T) => number) =>
    (call: ServerReadableStream<T, unknown>, reply: sendUnaryData<unknown>): void => {
      const recorder = new Recorder();
      call.on('cancelled', () => state.cancelled.push(method));
      if (state.stalled) return;
      call.on('data', (message: T) => {
        state.received += record(recorder, message);
      });
      call.on('end', () => reply(null, recorder.report()));
    };
  const send =
    (method: string, wrap: (body: Body) => unknown) =>
    (call: ServerWritableStream<Name, unknown>): void => {
      call.on('cancelled', () => state.cancelled.push(method));
      stream(call, wrap, state);
    };
  return {
    Echo: (call: ServerUnaryCall<Body, Body>, reply: sendUnaryData<Body>) => reply(null, call.request),
    Put: (call: ServerUnaryCall<FileMessage, unknown>, reply: sendUnaryData<unknown>) => {
      const recorder = new Recorder();
      recorder.add(call.request.upload ?? call.request.content, call.request);
      reply(null, recorder.report());
    },
    Get: (call: ServerUnaryCall<Name, Body>, reply: sendUnaryData<Body>) => {
      const metadata = new Metadata();
      if (call.request.mode === 'tagged') metadata.set('etag', '"mine"');
      if (call.request.mode === 'untouchable') metadata.set('cache-control', 'private, no-transform');
      call.sendMetadata(metadata);
      reply(
        null,
        bodyOf({ ...call.request, mode: call.request.mode === 'untouchable' ? 'text' : call.request.mode }),
      );
    },
    GetFile: (call: ServerUnaryCall<Name, unknown>, reply: sendUnaryData<unknown>) =>
      reply(
        null,
        call.request.mode === 'absent' ? { name: 'x' } : { name: 'x', content: bodyOf(call.request) },
      ),
    Upload: receive<FileMessage>('Upload', (recorder, file) => {
      recorder.add(file.content, file);
      return file.content?.data.length ?? 0;
    }),
    Receive: receive<Body>('Receive', (recorder, body) => {
      recorder.add(body);
      return body.data.length;
    }),
    Collect: receive<Name>('Collect', (recorder, { name }) => {
      recorder.add({ content_type: '', data: Buffer.from(name) });
      return name.length;
    }),
    Download: send('Download', (body) => body),
    DownloadFile: send('DownloadFile', (content) => ({ content })),
    List: send('List', ({ data }) => ({ text: data.toString('latin1') })),
    Show: (call: ServerUnaryCall<Name, unknown>, reply: sendUnaryData<unknown>) =>
      reply(null, {
        text: 'abcdefgh '.repeat(Math.ceil(call.request.bytes / 9)).slice(0, call.request.bytes),
      }),
  };
}

/** `count` messages (default 3) of `bytes` (default 1000) each; by mode none, a failure first or after them, or no end. */
function stream(
  call: ServerWritableStream<Name, unknown>,
  wrap: (body: Body) => unknown,
  state: State,
): void {
  const { mode, name } = call.request;
  const count = mode === 'empty' ? 0 : call.request.count || 3;
  const bytes = call.request.bytes || 1000;
  const data = mode === 'random' ? randomBytes(bytes) : Buffer.alloc(bytes, name);
  let index = 0;
  if (mode === 'fail-first') {
    call.emit('error', FAILURE);
    return;
  }
  const pump = (): void => {
    while (index < count && !call.cancelled) {
      const content_type = index === 0 ? (mode === 'text' ? 'text/csv' : 'video/mp4') : 'ignored/later';
      index++;
      state.sent++;
      if (call.write(wrap({ content_type, data }))) continue;
      call.once('drain', pump);
      return;
    }
    if (mode === 'fail-late') setTimeout(() => call.emit('error', FAILURE), 50);
    else if (mode !== 'open') call.end();
  };
  pump();
}
