/** Writes the protobuf wire format into one growing buffer that is used again for the next message. */
import { isText } from './scalars.js';

const FIRST_SIZE = 4096;
/** A buffer that one large message has grown beyond this is not kept. */
const KEPT_SIZE = 1 << 20;
/** Strings up to here are copied by character; beyond, one call into native code is faster. */
const SHORT = 48;

export class Writer {
  private buf = Buffer.allocUnsafeSlow(FIRST_SIZE);
  pos = 0;

  /** Starts anew. */
  reset(): void {
    this.pos = 0;
    if (this.buf.length > KEPT_SIZE) this.buf = Buffer.allocUnsafeSlow(FIRST_SIZE);
  }

  /** A copy of what has been written. */
  finish(): Buffer {
    return Buffer.from(this.buf.subarray(0, this.pos));
  }

  /** Makes room for `size` bytes more. */
  private reserve(size: number): void {
    const needed = this.pos + size;
    if (needed <= this.buf.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.buf.length * 2));
    this.buf.copy(larger, 0, 0, this.pos);
    this.buf = larger;
  }

  /** An unsigned 32-bit integer as a varint. */
  uint32(value: number): void {
    this.reserve(5);
    const { buf } = this;
    let rest = value;
    while (rest > 127) {
      buf[this.pos++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    buf[this.pos++] = rest;
  }

  /** A signed 32-bit integer as a varint: negative ones take ten bytes, as the encoding asks. */
  int32(value: number): void {
    if (value >= 0) this.uint32(value);
    else this.varint64(value >>> 0, 0xffffffff);
  }

  varint64(lo: number, hi: number): void {
    this.reserve(10);
    const { buf } = this;
    let low = lo;
    let high = hi;
    while (high !== 0 || low > 127) {
      buf[this.pos++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    buf[this.pos++] = low;
  }

  fixed32(value: number): void {
    this.reserve(4);
    this.pos = this.buf.writeUInt32LE(value >>> 0, this.pos);
  }

  fixed64(lo: number, hi: number): void {
    this.fixed32(lo);
    this.fixed32(hi);
  }

  float(value: number): void {
    this.reserve(4);
    this.pos = this.buf.writeFloatLE(value, this.pos);
  }

  double(value: number): void {
    this.reserve(8);
    this.pos = this.buf.writeDoubleLE(value, this.pos);
  }

  /** Length and UTF-8. Writes nothing and answers false if UTF-8 cannot carry the string. */
  string(value: string): boolean {
    const { length } = value;
    this.reserve(length * 3 + 5);
    if (length <= SHORT && this.shortAscii(value, length)) return true;
    if (!isText(value)) return false;
    const start = this.open();
    this.pos += this.buf.write(value, this.pos, 'utf8');
    this.close(start);
    return true;
  }

  /** Writes a string that is short and ASCII; else writes nothing and answers false. */
  private shortAscii(value: string, length: number): boolean {
    const { buf } = this;
    let at = this.pos + 1;
    for (let i = 0; i < length; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 127) return false;
      buf[at++] = unit;
    }
    buf[this.pos] = length;
    this.pos = at;
    return true;
  }

  /** Length and bytes, given as base64 in either alphabet. */
  base64(value: string): void {
    this.reserve(value.length + 5);
    const start = this.open();
    this.pos += this.buf.write(value, this.pos, 'base64');
    this.close(start);
  }

  /** Bytes as they are, without a length. */
  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.buf.set(bytes, this.pos);
    this.pos += bytes.length;
  }

  /** Begins something whose length stands before it; the answer is for `close`. */
  open(): number {
    this.reserve(1);
    return ++this.pos;
  }

  /** Writes the length of all since `open`. One byte is kept free for it; what is longer moves up. */
  close(start: number): void {
    const length = this.pos - start;
    if (length < 128) {
      this.buf[start - 1] = length;
      return;
    }
    const extra = length < 16384 ? 1 : length < 2097152 ? 2 : length < 268435456 ? 3 : 4;
    this.reserve(extra);
    this.buf.copyWithin(start + extra, start, this.pos);
    this.pos = start - 1;
    this.uint32(length);
    this.pos += length;
  }
}
