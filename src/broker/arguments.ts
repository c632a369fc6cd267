/** What may be asked of a broker: mistakes of the caller are told at once, and the same by all brokers. */
import type { AppendOptions, NewEntry, ReadOptions, Retention } from './broker.js';

/** Of the data of one page, unless it is asked otherwise. */
export const PAGE_BYTES = 1 << 20;

/** How long an idempotency key is remembered, if the retention is not shorter. */
export const KEY_MS = 120_000;

const MAX_UINT32 = 0xffff_ffff;

function check(fine: boolean, problem: string): void {
  if (!fine) throw new RangeError(problem);
}

export function checkRetention({ entries, ageMs, bytes }: Retention): void {
  check(Number.isSafeInteger(entries) && entries >= 1, `retention of ${entries} entries: at least 1`);
  check(Number.isSafeInteger(ageMs) && ageMs >= 100, `retention of ${ageMs} ms: at least 100`);
  check(Number.isSafeInteger(bytes) && bytes >= 1, `retention of ${bytes} bytes: at least 1`);
}

export function checkAppend(entries: readonly NewEntry[], { key }: AppendOptions): void {
  check(entries.length > 0, 'an append of no entries');
  check(key === undefined || entries.length === 1, 'an idempotency key is for an append of one entry');
  for (const { nonce } of entries) {
    check(Number.isInteger(nonce) && nonce >= 0 && nonce <= MAX_UINT32, `nonce ${nonce}: unsigned, 32 bits`);
  }
}

export function checkRead({ after, limit, bytes = PAGE_BYTES }: ReadOptions): void {
  check(Number.isSafeInteger(after) && after >= 0, `a read after ${after}: an offset, or 0`);
  check(Number.isInteger(limit) && limit >= 1, `a read of ${limit} entries: at least 1`);
  check(bytes >= 1, `a read of ${bytes} bytes: at least 1`);
}

/** Of leases, members and marks. */
export function checkTtl(ttlMs: number): void {
  check(Number.isSafeInteger(ttlMs) && ttlMs >= 1, `a ttl of ${ttlMs} ms: at least 1`);
}

export function checkMark(value: number): void {
  check(Number.isSafeInteger(value) && value >= 0, `a mark of ${value}: a safe integer, at least 0`);
}
