/** Reads the protobuf wire format (https://protobuf.dev/programming-guides/encoding/) out of one buffer. */
import { isUtf8 } from 'node:buffer';
import { MAX_DEPTH } from './plan.js';

/** Buffers up to this size are decoded to text once, and their strings are cut out of it. */
const WHOLE_TEXT = 65536;

/** 1 for the bytes that stand in JSON text as they are: ASCII without controls, `"` and `\`. */
const PLAIN = new Uint8Array(256);
for (let byte = 0x20; byte < 0x80; byte++) PLAIN[byte] = byte === 0x22 || byte === 0x5c ? 0 : 1;

/** Buffer.toString spends longer on finding these two than they take for a short string. */
interface Slices {
  latin1Slice(start: number, end: number): string;
  utf8Slice(start: number, end: number): string;
}

function asBuffer(bytes: Uint8Array): Buffer & Slices {
  const buffer = Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer as Buffer & Slices;
}

/** Never reads beyond the `end` it is given. */
export abstract class Reader {
  readonly buf: Buffer & Slices;
  pos = 0;
  /** The halves of the last 64-bit integer read, unsigned. */
  lo = 0;
  hi = 0;
  private text = '';

  constructor(bytes: Uint8Array) {
    this.buf = asBuffer(bytes);
  }

  /** Refuses the bytes: throws, with what is wrong with them in the client's words. */
  abstract fail(reason: string): never;

  /** The next tag. A field number of 0 is left to `skip` to refuse: no table has such a field. */
  tag(): number {
    return this.uint32();
  }

  /** The low 32 bits of a varint, unsigned. */
  uint32(): number {
    const { buf } = this;
    let byte = buf[this.pos++] as number;
    if (byte < 128) return byte;
    let value = byte & 0x7f;
    byte = buf[this.pos++] as number;
    if (byte < 128) return value | (byte << 7);
    value |= (byte & 0x7f) << 7;
    byte = buf[this.pos++] as number;
    if (byte < 128) return value | (byte << 14);
    value |= (byte & 0x7f) << 14;
    byte = buf[this.pos++] as number;
    if (byte < 128) return value | (byte << 21);
    value |= (byte & 0x7f) << 21;
    byte = buf[this.pos++] as number;
    value = (value | (byte << 28)) >>> 0;
    if (byte < 128) return value;
    for (let more = 0; more < 5; more++) if ((buf[this.pos++] as number) < 128) return value;
    return this.failVarint();
  }

  /** A varint into `lo` and `hi`. */
  varint64(): void {
    const { buf } = this;
    let lo = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = buf[this.pos++] as number;
      lo |= (byte & 0x7f) << shift;
      if (byte < 128) {
        this.lo = lo;
        this.hi = 0;
        return;
      }
    }
    const middle = buf[this.pos++] as number;
    this.lo = (lo | (middle << 28)) >>> 0;
    let hi = (middle & 0x7f) >>> 4;
    if (middle < 128) {
      this.hi = hi;
      return;
    }
    for (let shift = 3; shift <= 31; shift += 7) {
      const byte = buf[this.pos++] as number;
      hi |= (byte & 0x7f) << shift;
      if (byte < 128) {
        this.hi = hi >>> 0;
        return;
      }
    }
    this.failVarint();
  }

  private failVarint(): never {
    return this.fail(this.pos > this.buf.length ? 'it is cut short' : 'it is not protobuf');
  }

  /** Eight bytes into `lo` and `hi`. */
  fixed64(end: number): void {
    const at = this.pos;
    if (at + 8 > end) this.fail('it is cut short');
    this.lo = this.buf.readUInt32LE(at);
    this.hi = this.buf.readUInt32LE(at + 4);
    this.pos = at + 8;
  }

  fixed32(end: number): number {
    const at = this.pos;
    if (at + 4 > end) this.fail('it is cut short');
    this.pos = at + 4;
    return this.buf.readUInt32LE(at);
  }

  double(end: number): number {
    const at = this.pos;
    if (at + 8 > end) this.fail('it is cut short');
    this.pos = at + 8;
    return this.buf.readDoubleLE(at);
  }

  float(end: number): number {
    const at = this.pos;
    if (at + 4 > end) this.fail('it is cut short');
    this.pos = at + 4;
    return this.buf.readFloatLE(at);
  }

  /** Reads a length; answers where what it measures ends. */
  stop(end: number): number {
    const byte = this.buf[this.pos] as number;
    const length = byte < 128 ? byte : this.uint32();
    if (byte < 128) this.pos++;
    const stop = this.pos + length;
    if (stop > end) this.fail('it is cut short');
    return stop;
  }

  /** The bytes from here to `stop` as the text of a JSON string, quotes included. */
  quoted(stop: number, strict: boolean): string {
    const { buf } = this;
    const start = this.pos;
    let at = start;
    while (at < stop && PLAIN[buf[at] as number] === 1) at++;
    this.pos = stop;
    if (at === stop) return `"${this.ascii(start, stop)}"`;
    return JSON.stringify(this.utf8(start, stop, strict));
  }

  /** The bytes from here to `stop` as text. */
  string(stop: number, strict: boolean): string {
    const start = this.pos;
    this.pos = stop;
    return this.utf8(start, stop, strict);
  }

  private ascii(start: number, stop: number): string {
    if (this.buf.length > WHOLE_TEXT) return this.buf.latin1Slice(start, stop);
    // One call out of JavaScript for the message and not one per string.
    if (this.text === '') this.text = this.buf.latin1Slice(0, this.buf.length);
    return this.text.substring(start, stop);
  }

  private utf8(start: number, stop: number, strict: boolean): string {
    const text = this.buf.utf8Slice(start, stop);
    // U+FFFD stands for what could not be read, or for itself.
    if (strict && text.includes('\ufffd') && !isUtf8(this.buf.subarray(start, stop))) {
      this.fail('a string in it is not valid UTF-8');
    }
    return text;
  }

  /** Passes over the value of an unknown field. */
  skip(tag: number, end: number, depth = 0): void {
    if (tag < 8) this.fail('it is not protobuf');
    switch (tag & 7) {
      case 0:
        this.varint64();
        break;
      case 1:
        this.pos += 8;
        break;
      case 2:
        this.pos = this.stop(end);
        break;
      case 3:
        this.skipGroup(tag, end, depth + 1);
        break;
      case 5:
        this.pos += 4;
        break;
      default:
        this.fail('it is not protobuf');
    }
    if (this.pos > end) this.fail('it is cut short');
  }

  private skipGroup(start: number, end: number, depth: number): void {
    if (depth > MAX_DEPTH) this.fail(`it is nested over ${MAX_DEPTH} levels`);
    while (this.pos < end) {
      const tag = this.tag();
      if (tag === start + 1) return;
      this.skip(tag, end, depth);
    }
    this.fail('it is cut short');
  }
}
