/** Which bytes of an encoder hold a reset: a door that shares them among its clients has to count it, or to act on it, for each. */
import type { ResetReason } from '../src/stream/feed.js';

export class Resets {
  private reasons: WeakMap<Uint8Array, ResetReason> | undefined;

  /** Says that these bytes hold a reset. */
  mark(bytes: Uint8Array, reason: ResetReason): void {
    this.reasons ??= new WeakMap();
    this.reasons.set(bytes, reason);
  }

  /** The reason of the reset in these bytes. Costs next to nothing before the first reset. */
  in(bytes: Uint8Array): ResetReason | undefined {
    return this.reasons?.get(bytes);
  }

  /** Bytes that were made of `parts` hold what those hold. */
  carry(parts: readonly Uint8Array[], bytes: Uint8Array): void {
    const { reasons } = this;
    if (reasons === undefined) return;
    for (const part of parts) {
      const reason = reasons.get(part);
      if (reason !== undefined) reasons.set(bytes, reason);
    }
  }
}
