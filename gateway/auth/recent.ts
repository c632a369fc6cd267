/** What was used lately: a bounded map that forgets what nobody has asked for. */

/**
 * Two generations: what is asked for moves to the young one, and when that is full the old one is dropped. A hit costs one look-up and, as
 * a rule, no write, which a list in the order of use would need each time.
 */
export class Recent<Value> {
  private young = new Map<string, Value>();
  private old = new Map<string, Value>();

  /** @param most entries; those of the last `most / 2` keys that were used are kept in any case. */
  constructor(private readonly most: number) {}

  get(key: string): Value | undefined {
    const value = this.young.get(key);
    if (value !== undefined) return value;
    const before = this.old.get(key);
    if (before !== undefined) {
      this.old.delete(key);
      this.set(key, before);
    }
    return before;
  }

  set(key: string, value: Value): void {
    if (this.young.size >= this.most / 2) {
      this.old = this.young;
      this.young = new Map();
    }
    this.young.set(key, value);
  }

  delete(key: string): void {
    this.young.delete(key);
    this.old.delete(key);
  }

  get size(): number {
    return this.young.size + this.old.size;
  }
}
