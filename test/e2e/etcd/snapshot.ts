/** Reads a snapshot of etcd over NDJSON, and what in it shows that it is whole. */
import { createHash } from 'node:crypto';

export const SHA256_BYTES = 32;

/** A page of bolt begins with a header of 16 bytes; behind it, in the first page, come magic, version and page size, 4 bytes each. */
const MAGIC_OFFSET = 16;
const PAGE_SIZE_OFFSET = 24;

export interface Snapshot {
  /** Bytes of the database, as announced by the first message. */
  readonly total: number;
  readonly database: Buffer;
  /** The last message: what etcd computed over the database. */
  readonly digest: Buffer;
  readonly computedDigest: Buffer;
  readonly boltMagic: number;
  readonly pageSize: number;
}

interface SnapshotMessage {
  /** How much follows behind this blob, the digest not counted; absent for none. */
  readonly remaining_bytes?: string;
  readonly blob: string;
}

/** Rejects when the stream is refused, broken off, or when a message announces something else than follows. */
export async function readSnapshot(address: string, token: string): Promise<Snapshot> {
  const response = await fetch(`http://${address}/v3/maintenance/snapshot`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      accept: 'application/x-ndjson',
      'content-type': 'application/json',
    },
    body: '{}',
  });
  const type = response.headers.get('content-type') ?? '';
  if (response.status !== 200 || !type.startsWith('application/x-ndjson')) {
    throw new Error(`no snapshot: ${response.status} ${type}`);
  }
  const text = await response.text();
  const lines = text.split('\n');
  if (lines.pop() !== '') throw new Error('the last line has no end');
  const messages = lines.map((line) => JSON.parse(line) as SnapshotMessage);
  const blobs = messages.map(({ blob }) => Buffer.from(blob, 'base64'));
  const digest = blobs.pop() ?? Buffer.alloc(0);
  const database = Buffer.concat(blobs);
  checkRemaining(messages, blobs, database.length);
  return {
    total: (blobs[0]?.length ?? 0) + Number(messages[0]?.remaining_bytes ?? 0),
    database,
    digest,
    computedDigest: createHash('sha256').update(database).digest(),
    boltMagic: database.readUInt32LE(MAGIC_OFFSET),
    pageSize: database.readUInt32LE(PAGE_SIZE_OFFSET),
  };
}

function checkRemaining(messages: readonly SnapshotMessage[], blobs: readonly Buffer[], total: number): void {
  let remaining = total;
  for (const [index, blob] of blobs.entries()) {
    remaining -= blob.length;
    const announced = Number(messages[index]?.remaining_bytes ?? 0);
    if (announced !== remaining)
      throw new Error(`message ${index}: ${announced} bytes announced, ${remaining} follow`);
  }
}
