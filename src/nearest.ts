/** The known name that somebody probably meant by an unknown one. */

/** Longer names are not compared: the work grows with the square of the length. */
const LONGEST = 64;

/**
 * The candidate with the fewest edits (a letter added, dropped or changed, or two neighbours swapped), if there are at
 * most `limit`; default a third of the name, at most three. None for a name of over 64 characters.
 */
export function nearest(
  name: string,
  candidates: Iterable<string>,
  limit = Math.min(3, Math.ceil(name.length / 3)),
): string | undefined {
  if (name.length > LONGEST) return undefined;
  let best: string | undefined;
  let fewest = limit + 1;
  for (const candidate of candidates) {
    const edits = distance(name.toLowerCase(), candidate.toLowerCase());
    if (edits < fewest) [best, fewest] = [candidate, edits];
  }
  return best;
}

/** `; did you mean X?`, or nothing. */
export function suggest(name: string, candidates: Iterable<string>): string {
  const meant = nearest(name, candidates);
  return meant === undefined ? '' : `; did you mean ${meant}?`;
}

/** Whether a text is none of some words but probably meant for one: at most an edit away for each seven letters, or in another case. */
export function isMisspelt(text: string, words: readonly string[]): boolean {
  return !words.includes(text) && nearest(text, words, Math.ceil(text.length / 7)) !== undefined;
}

/** The optimal string alignment distance, row by row; a swap looks back two rows. */
function distance(from: string, to: string): number {
  const rows: number[][] = [Array.from({ length: to.length + 1 }, (_, index) => index)];
  const at = (row: number, column: number) => rows[row]?.[column] ?? Number.POSITIVE_INFINITY;
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    rows.push(current);
    for (let column = 1; column <= to.length; column++) {
      const change = from[row - 1] === to[column - 1] ? 0 : 1;
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      current[column] = Math.min(
        at(row - 1, column) + 1,
        at(row, column - 1) + 1,
        at(row - 1, column - 1) + change,
        swapped ? at(row - 2, column - 2) + 1 : Number.POSITIVE_INFINITY,
      );
    }
  }
  return at(from.length, to.length);
}
