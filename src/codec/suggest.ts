/** Finds the name that someone probably meant. */

/** Longer names are not compared: the work grows with the square of the length. */
const LONGEST = 64;

/** `; did you mean "items"?` if one of the names is close to `name`, else empty. */
export function nearest(name: string, names: Iterable<string>): string {
  if (name.length > LONGEST) return '';
  let best = '';
  let least = Math.min(3, Math.ceil(name.length / 3) + 1);
  for (const candidate of names) {
    if (Math.abs(candidate.length - name.length) >= least) continue;
    const edits = distance(name.toLowerCase(), candidate.toLowerCase());
    if (edits >= least) continue;
    least = edits;
    best = candidate;
  }
  return best === '' ? '' : `; did you mean "${best}"?`;
}

/** The Levenshtein distance: how many letters to insert, drop or replace. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] as number) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[to.length] as number;
}
