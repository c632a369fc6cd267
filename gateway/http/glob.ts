/** Patterns in which `*` stands for any text: of methods, routes and query parameters. */

/** Matches whole texts, case-sensitively. */
export function globPattern(...patterns: readonly string[]): RegExp {
  const alternatives = patterns.map((pattern) =>
    pattern
      .split(/\*+/)
      .map((part) => part.replace(/[\\^$.|?+()[\]{}/-]/g, '\\$&'))
      .join('.*'),
  );
  return new RegExp(`^(?:${alternatives.join('|')})$`, 's');
}
