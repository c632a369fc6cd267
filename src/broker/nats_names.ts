/** Names of streams and subjects in NATS: any name becomes one token of a subject, and no two names the same. */
import { createHash } from 'node:crypto';

/** Of a token. A subject has to fit the line of a command, a stream's name the name of a folder. */
const LONGEST = 150;

/** Letters, digits, `_` and `-` as they are, other bytes of UTF-8 as `=XX`; `=` for the empty name, and `==` before the hash of a long one. */
export function token(name: string): string {
  if (name === '') return '=';
  const escaped = name.replace(/[^A-Za-z0-9_-]/gu, (mark) =>
    [...Buffer.from(mark)].map((byte) => `=${byte.toString(16).padStart(2, '0')}`).join(''),
  );
  if (escaped.length <= LONGEST) return escaped;
  return `==${createHash('sha256').update(name).digest('base64url')}`;
}

/** The stream of all logs of a space. */
export const logStream = (space: string): string => `tidegate-log-${token(space)}`;
export const logSubject = (space: string, name: string): string =>
  `tidegate.log.${token(space)}.${token(name)}`;
/** All of them. */
export const logSubjects = (space: string): string => `tidegate.log.${token(space)}.*`;
/** Where the server tells what it has stored under a log's subject. */
export const toldSubject = (space: string, name: string): string =>
  `tidegate.told.${token(space)}.${token(name)}`;
/** The same for the subject that the wildcard of all has matched, in the server's own words. */
export const toldSubjects = (space: string): string => `tidegate.told.${token(space)}.{{wildcard(1)}}`;

/** The stream of all leases, marks, secrets and members. */
export const STATE_STREAM = 'tidegate-state';
/** Of leases, marks and secrets: which of them, and the name. */
export const stateSubject = (kind: 'lease' | 'mark' | 'secret', name: string): string =>
  `tidegate.state.${kind}.${token(name)}`;
export const memberSubject = (set: string, member: string): string =>
  `tidegate.state.member.${token(set)}.${token(member)}`;
export const setSubjects = (set: string): string => `tidegate.state.member.${token(set)}.*`;
export const ALL_MEMBERS = 'tidegate.state.member.*.*';
export const ALL_STATE = 'tidegate.state.>';
