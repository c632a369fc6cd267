/** Bytes that arrive in pieces, kept without a price per piece. */

/** Smaller pieces are copied together: a Buffer of one byte costs a hundred, and keeps the block alive it was cut from. */
const SMALL = 1024;
const BLOCK = 16 * 1024;

export class Pieces {
  private parts: Buffer[] = [];
  private block: Buffer | undefined;
  private used = 0;
  /** Bytes in all. */
  length = 0;

  push(piece: Buffer): void {
    this.length += piece.length;
    if (piece.length >= SMALL) {
      this.closeBlock();
      this.parts.push(piece);
      return;
    }
    if (this.block === undefined || this.used + piece.length > BLOCK) {
      this.closeBlock();
      this.block = Buffer.allocUnsafe(BLOCK);
    }
    this.used += piece.copy(this.block, this.used);
  }

  /** All bytes in one Buffer; begins anew. */
  take(): Buffer {
    this.closeBlock();
    const [only] = this.parts;
    const all = this.parts.length === 1 && only !== undefined ? only : Buffer.concat(this.parts, this.length);
    this.parts = [];
    this.length = 0;
    return all;
  }

  private closeBlock(): void {
    if (this.block !== undefined) this.parts.push(this.block.subarray(0, this.used));
    this.block = undefined;
    this.used = 0;
  }
}
