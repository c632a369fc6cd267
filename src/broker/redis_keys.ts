/** Names of keys and channels in Redis. The last part of each is a name as it is; no other part has a colon or a brace. */

/** An entries stream and what says where it ends, in one slot. */
export function logKeys(space: string, name: string): { readonly stream: string; readonly hash: string } {
  const log = `{${escaped(space)}:${name}}`;
  return { stream: `tidegate:log:${log}`, hash: `tidegate:tail:${log}` };
}

export const idempotencyKey = (space: string, name: string, key: string): string =>
  `tidegate:key:{${escaped(space)}:${name}}:${Buffer.byteLength(key)}:${key}`;

/** Channels are the server's, whatever the database. */
export const logChannel = (database: number, space: string, name: string): string =>
  `tidegate:${database}:log:${escaped(space)}:${name}`;

export const leaseKey = (name: string): string => `tidegate:lease:${name}`;
export const markKey = (name: string): string => `tidegate:mark:${name}`;
export const secretKey = (name: string): string => `tidegate:secret:${name}`;

/** Followed by the name of the set. */
export const MEMBERS = 'tidegate:members:';
export const VALUES = 'tidegate:values:';
export const ALL_SETS = 'tidegate:sets';

function escaped(part: string): string {
  return part.replace(/[%:{}]/g, (mark) => `%${mark.charCodeAt(0).toString(16)}`);
}
