/** Password hashes as text, in the manner of PHC strings: `$scrypt$ln=15,r=8,p=3$SALT$HASH`, base64 without padding. */

/** RFC 7914, 2: N is a power of two. */
export interface ScryptParameters {
  /** log2 of N. */
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

export interface PasswordHash extends ScryptParameters {
  readonly salt: Buffer;
  readonly hash: Buffer;
}

/** What one check may take, so that no hash in a file can bring the service down. */
const MAX_MEMORY = 256 * 1024 * 1024;
const PHC = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;

/** Bytes that scrypt works in: 128 * N * r. */
export function memoryOf({ ln, r }: ScryptParameters): number {
  return 128 * 2 ** ln * r;
}

/** Throws an error that says what is wrong, and repeats nothing of the text: it may be a password. */
export function parsePhc(text: string): PasswordHash {
  const [, ln, r, p, salt = '', hash = ''] = PHC.exec(text) ?? [];
  if (ln === undefined) throw new Error('expected $scrypt$ln=...,r=...,p=...$SALT$HASH');
  const parameters = { ln: Number(ln), r: Number(r), p: Number(p) };
  checkParameters(parameters);
  const parsed = { ...parameters, salt: decode(salt, 'salt'), hash: decode(hash, 'hash') };
  checkSize(parsed.salt, 'salt', 8);
  checkSize(parsed.hash, 'hash', 16);
  return parsed;
}

export function printPhc({ ln, r, p, salt, hash }: PasswordHash): string {
  return `$scrypt$ln=${ln},r=${r},p=${p}$${encode(salt)}$${encode(hash)}`;
}

/** Throws for parameters that are too weak to be worth anything, or that cost too much. */
export function checkParameters(parameters: ScryptParameters): void {
  const { ln, r, p } = parameters;
  if (ln < 10 || r < 1 || p < 1) throw new Error('scrypt: ln must be at least 10, r and p at least 1');
  if (p > 16) throw new Error('scrypt: p must be at most 16');
  if (memoryOf(parameters) > MAX_MEMORY) throw new Error('scrypt: ln and r need more than 256 MiB');
}

function checkSize(bytes: Buffer, name: string, least: number): void {
  if (bytes.length < least || bytes.length > 64) throw new Error(`${name}: must have ${least} to 64 bytes`);
}

const encode = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');

/** Base64 that another encoder would write differently is refused: one hash, one text. */
function decode(text: string, name: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (encode(bytes) !== text) throw new Error(`${name}: expected base64 without padding`);
  return bytes;
}
