/** Positions as clients keep them: one text for a log, or for several at once. */
import { createHash } from 'node:crypto';
import type { LogPosition } from '../../src/broker/follower.js';
import { check } from '../validation.js';

/** 32 channels, with the longest epochs and offsets there are. */
const LONGEST = 32 * 46;
/** The key of a log, its epoch, the offset and the nonce; of a log that had never been appended to, only zeros. */
const PART = /^([\w-]{6})\.(?:-\.0\.0|([A-Za-z0-9]{8,16})\.([0-9a-z]{1,11})\.([0-9a-z]{1,7}))$/;
const MOST_NONCE = 0xffff_ffff;

/** What positions name a log by: six letters that tell it from the others. That two logs share them is found out by their entries. */
export function keyOf(kind: string, name: string): string {
  return createHash('sha256').update(`${kind} ${name}`).digest().subarray(0, 4).toString('base64url');
}

/** The position in one log. Those of several logs are joined with `~`. */
export function printPosition(key: string, { epoch = '-', offset, nonce }: LogPosition): string {
  return `${key}.${epoch}.${offset.toString(36)}.${nonce.toString(36)}`;
}

/** The positions of a text by the keys of their logs. Throws INVALID_ARGUMENT for what is none. */
export function parsePositions(text: string, field: string): ReadonlyMap<string, LogPosition> {
  check(text.length <= LONGEST, field, `must have at most ${LONGEST} characters`);
  const positions = new Map<string, LogPosition>();
  for (const part of text.split('~')) {
    const [, key = '', epoch, offset = '0', nonce = '0'] = PART.exec(part) ?? [];
    const position = { epoch, offset: Number.parseInt(offset, 36), nonce: Number.parseInt(nonce, 36) };
    const isWhole = Number.isSafeInteger(position.offset) && position.nonce <= MOST_NONCE;
    check(key !== '' && isWhole && position.offset > 0 === (epoch !== undefined), field, 'is no position');
    check(!positions.has(key), field, 'has two positions of one channel');
    positions.set(key, position);
  }
  return positions;
}
