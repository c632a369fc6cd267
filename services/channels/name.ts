/** Names of channels, and patterns of them. */
import { check } from '../validation.js';

const NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9_.:-]{0,198}[A-Za-z0-9_])?$/;

/** Throws INVALID_ARGUMENT for what is no channel's name. */
export function checkName(name: string, field = 'channel'): void {
  check(name !== '', field, 'is required');
  check(
    NAME.test(name),
    field,
    'must be 1 to 200 letters, digits, `_`, `-`, `.` and `:`, the first and the last of them a letter, a digit or `_`',
  );
}

/** Whether a name matches a pattern, in which `*` stands for any text. */
export function matches(pattern: string, name: string): boolean {
  const [first = '', ...others] = pattern.split('*');
  if (others.length === 0) return name === pattern;
  const last = others.pop() ?? '';
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length)
    return false;
  let at = first.length;
  for (const part of others) {
    at = name.indexOf(part, at);
    if (at === -1) return false;
    at += part.length;
  }
  return at <= name.length - last.length;
}
