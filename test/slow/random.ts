/** Choices that a seed repeats, and inputs made of them: soup of the characters that matter, and right ones gone wrong. */

export interface Random {
  /** 0 up to `n` - 1. */
  below(n: number): number;
  pick<T>(list: readonly T[]): T;
  chance(share: number): boolean;
}

/** mulberry32: small, fast, and the same everywhere. */
export function createRandom(seed: number): Random {
  let state = seed;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  const below = (n: number): number => Math.floor(next() * n);
  return { below, pick: (list) => list[below(list.length)] as never, chance: (share) => next() < share };
}

/** Up to `length` of these pieces, mostly few. */
export function soup(random: Random, pieces: readonly string[], length: number): string {
  let text = '';
  for (let n = random.below(random.below(length) + 1); n > 0; n--) text += random.pick(pieces);
  return text;
}

/** A text with a part cut out, doubled, repeated at length, or replaced by one of the pieces; sometimes itself. */
export function damaged(random: Random, text: string, pieces: readonly string[]): string {
  let broken = text;
  for (let n = random.below(4); n > 0; n--) {
    const from = random.below(broken.length + 1);
    const to = Math.min(broken.length, from + random.below(8));
    const part = broken.slice(from, to);
    const other = random.pick(['', random.pick(pieces), part + part, part.repeat(random.below(60))]);
    broken = broken.slice(0, from) + other + broken.slice(to);
  }
  return broken;
}

/** Bytes with some changed, cut out or put in; sometimes themselves. */
export function damagedBytes(random: Random, bytes: Uint8Array): Buffer {
  let broken = Buffer.from(bytes);
  for (let n = random.below(4); n > 0; n--) {
    const at = random.below(broken.length + 1);
    const more = Buffer.from(Array.from({ length: random.below(4) }, () => random.below(256)));
    broken = Buffer.concat([broken.subarray(0, at), more, broken.subarray(at + random.below(4))]);
  }
  return broken;
}
