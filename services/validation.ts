/** Checks of request fields that gather every violation before the request is refused. */
import { invalid, type Violation } from './errors.js';

/** Collects violations; `done()` throws INVALID_ARGUMENT with all of them, if there are any. */
export class Checks {
  readonly #violations: Violation[] = [];

  /** Notes a violation unless `holds`. Answers `holds`. */
  check(holds: boolean, field: string, description: string): boolean {
    // A request can be wrong in many thousand places; nobody reads more than a few.
    if (!holds && this.#violations.length < 50) this.#violations.push({ field, description });
    return holds;
  }

  /** Text of `least` to `most` characters (UTF-16 units). */
  text(value: string, field: string, { least = 0, most }: { least?: number; most: number }): boolean {
    const size = least === 0 ? `at most ${most}` : `${least} to ${most}`;
    return this.check(value.length >= least && value.length <= most, field, `must have ${size} characters`);
  }

  done(): void {
    const [first, ...others] = this.#violations;
    if (first !== undefined) throw invalid([first, ...others]);
  }
}

/** Throws INVALID_ARGUMENT about one field unless `holds`. */
export function check(holds: boolean, field: string, description: string): asserts holds {
  if (!holds) throw invalid([{ field, description }]);
}

/** How many a page holds: `usual` when nothing is asked for, never more than `most`. Throws INVALID_ARGUMENT for a negative size. */
export function pageSize(asked: number, { usual, most } = { usual: 50, most: 200 }): number {
  check(asked >= 0, 'page_size', 'must not be negative');
  return asked === 0 ? usual : Math.min(asked, most);
}
