/** Whether a request says what it must in one of its fields, whoever decodes it: read off the wire, without decoding the rest. */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { Reader } from '../codec/reader.js';
import { type DescLeaf, findField } from '../contract/field_path.js';
import { tagOf, textOf } from '../stream/field.js';

/** `other`: something else is said, or not plainly; `unset`: nothing is said, which includes an empty or zero value. */
export type Said = 'expected' | 'unset' | 'other';

/**
 * Decoders differ in what they make of a field that is said twice: the last value counts, but of a message in several pieces some merge
 * the pieces and some take the last. Some look at a field's number alone and not at its wire type. So every value in the message has to be an expected
 * one, every last piece on the way has to have it, and no field of this number, or of another member of its oneof, may be of another type.
 */
export interface BoundField {
  /** `expected`: values in UTF-8, of numbers in decimal digits. Never throws. */
  said(message: Uint8Array, expected: readonly Buffer[]): Said;
}

/** What is wrong with a path for such a rule, or undefined. */
export function boundFieldProblem(desc: DescMessage, path: string): string | undefined {
  const found = findField(desc, path);
  if (typeof found === 'string') return found;
  const { scalar } = found.leaf;
  if (scalar === ScalarType.DOUBLE || scalar === ScalarType.FLOAT)
    return `${path} is a floating point number, which no claim can be compared with`;
  return undefined;
}

/** Throws an Error when the path leads to no field that can be compared. */
export function createBoundField(desc: DescMessage, path: string): BoundField {
  const found = findField(desc, path);
  if (typeof found === 'string') throw new Error(`${path}: ${found}`);
  const steps = [...found.through, found.leaf].map(stepOf);
  return {
    said(message, expected) {
      const scan = new Scan(message, { steps, leaf: found.leaf, expected });
      return scan.run();
    },
  };
}

/** One field of the path. */
interface Step {
  readonly tag: number;
  /** Tags of the other members of its oneof: one of them after it unsets it. */
  readonly rivals: ReadonlySet<number>;
  /** Its own number, and those of the rivals. */
  readonly numbers: ReadonlySet<number>;
}

function stepOf(field: DescField): Step {
  const rivals = field.oneof?.fields.filter((other) => other !== field) ?? [];
  return {
    tag: tagOf(field),
    rivals: new Set(rivals.map(tagOf)),
    numbers: new Set([field.number, ...rivals.map(({ number }) => number)]),
  };
}

/** Thrown and caught in this file. It has no stack to collect. */
const REFUSED = { problem: 'not plain' } as const;

interface Wanted {
  readonly steps: readonly Step[];
  readonly leaf: DescLeaf;
  readonly expected: readonly Buffer[];
}

class Scan extends Reader {
  constructor(
    message: Uint8Array,
    private readonly wanted: Wanted,
  ) {
    super(message);
  }

  override fail(): never {
    throw REFUSED;
  }

  run(): Said {
    try {
      return this.isSetIn(0, this.buf.length) ? 'expected' : 'unset';
    } catch (thrown) {
      if (thrown !== REFUSED) throw thrown;
      return 'other';
    }
  }

  /** Whether this piece of a message leaves the field with an expected value. */
  private isSetIn(level: number, end: number): boolean {
    const { steps } = this.wanted;
    const step = steps[level] as Step;
    let isSet = false;
    while (this.pos < end) {
      const tag = this.tag();
      if (tag === step.tag) {
        isSet =
          level === steps.length - 1 ? this.isExpected(tag, end) : this.isSetIn(level + 1, this.stop(end));
        continue;
      }
      if (step.rivals.has(tag)) isSet = false;
      else if (step.numbers.has(tag >>> 3)) this.fail();
      this.skip(tag, end);
    }
    return isSet;
  }

  /** Reads a value; false for an empty or zero one. Fails for one that is not expected. */
  private isExpected(tag: number, end: number): boolean {
    const { leaf, expected } = this.wanted;
    const start = this.pos;
    this.skip(tag, end);
    const stopped = this.pos;
    this.pos = start;
    const kind = leaf.scalar ?? ScalarType.INT32;
    const isText = kind === ScalarType.STRING || kind === ScalarType.BYTES;
    let value: Buffer;
    if (isText) {
      this.stop(stopped);
      value = this.buf.subarray(this.pos, stopped);
    } else value = Buffer.from(textOf(kind, this, stopped), 'latin1');
    this.pos = stopped;
    for (const each of expected) if (each.equals(value)) return true;
    const isEmpty = isText ? value.length === 0 : value.equals(ZERO) || value.equals(FALSE);
    return isEmpty ? false : this.fail();
  }
}

const ZERO = Buffer.from('0');
const FALSE = Buffer.from('false');
