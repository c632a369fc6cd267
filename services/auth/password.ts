/** Passwords: hashed by scrypt (RFC 7914), and checked few at a time, so that logins leave threads for everything else. */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { exhausted } from '../errors.js';
import {
  checkParameters,
  memoryOf,
  type PasswordHash,
  parsePhc,
  printPhc,
  type ScryptParameters,
} from './phc.js';

/** 32 MiB, three times over: one of the choices of OWASP's Password Storage Cheat Sheet. */
export const DEFAULT_PARAMETERS: ScryptParameters = { ln: 15, r: 8, p: 3 };

interface ScryptOptions {
  readonly N: number;
  readonly r: number;
  readonly p: number;
  readonly maxmem: number;
}
const derive = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt);

/** RFC 8265, 4.2.2: the same password typed on another keyboard may come as other code points. */
async function hashOf(password: string, { salt, ...parameters }: Salted, length: number): Promise<Buffer> {
  const { ln, r, p } = parameters;
  const options = { N: 2 ** ln, r, p, maxmem: 2 * memoryOf(parameters) + 256 * r * p };
  return derive(password.normalize('NFC'), salt, length, options);
}

type Salted = ScryptParameters & { readonly salt: Buffer };

/** A PHC string with a salt of its own. Throws for parameters that are too weak or too costly. */
export async function hashPassword(password: string, parameters = DEFAULT_PARAMETERS): Promise<string> {
  checkParameters(parameters);
  const salted = { ...parameters, salt: randomBytes(16) };
  return printPhc({ ...salted, hash: await hashOf(password, salted, 32) });
}

/** Compares in a time that does not depend on where the hashes differ. */
async function verifyPassword(password: string, expected: PasswordHash): Promise<boolean> {
  return timingSafeEqual(await hashOf(password, expected, expected.hash.length), expected.hash);
}

export interface CheckLimits {
  /** Checks at once; default 2. Node has four threads for these, files and DNS together (UV_THREADPOOL_SIZE). */
  readonly atOnce: number;
  /** Checks that may wait for their turn; default 32. */
  readonly waiting: number;
}

/** Whether the password is that of the hash. Rejects with RESOURCE_EXHAUSTED when too many wait already. */
export type CheckPassword = (password: string, phc: string) => Promise<boolean>;

export function createPasswordCheck({ atOnce = 2, waiting = 32 }: Partial<CheckLimits> = {}): CheckPassword {
  const queue: (() => void)[] = [];
  let running = 0;

  return async (password, phc) => {
    if (running < atOnce) running += 1;
    else if (queue.length < waiting) await new Promise<void>((resolve) => queue.push(resolve));
    else throw exhausted('too many logins at once', 1_000);
    try {
      return await verifyPassword(password, parsePhc(phc));
    } finally {
      // The place goes to whoever waits longest, without being free in between.
      const next = queue.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
