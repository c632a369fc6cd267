/** Who may log in: users by name and by id, and a hash to check for a name that nobody has. */
import { createHmac, randomBytes } from 'node:crypto';
import { parsePhc, printPhc } from './phc.js';

export interface User {
  /** `sub` of the user's tokens, for good: printable ASCII of at most 256 characters. */
  readonly id: string;
  /** Compared as it is, in Unicode's NFC. */
  readonly username: string;
  /** A PHC string. */
  readonly password: string;
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
  /** Whether logins and refreshes are refused. */
  readonly disabled: boolean;
}

export interface Users {
  readonly named: (username: string) => User | undefined;
  readonly withId: (id: string) => User | undefined;
  /**
   * The hash of the user of that name. For a name that nobody has: one that fits no password, of the same parameters as some user's, for one
   * name always the same; so checking it takes as long as checking a user's does.
   */
  readonly hashFor: (username: string) => string;
}

export function createUsers(list: readonly User[]): Users {
  const byName = new Map(list.map((user) => [user.username.normalize('NFC'), user]));
  const byId = new Map(list.map((user) => [user.id, user]));
  const decoys = list.map(({ password }) => decoyLike(password));
  const secret = randomBytes(32);

  const named = (username: string) => byName.get(username.normalize('NFC'));
  const decoyFor = (username: string) => {
    const digest = createHmac('sha256', secret).update(username.normalize('NFC')).digest();
    return decoys[digest.readUInt32BE() % decoys.length] ?? '';
  };
  return {
    named,
    withId: (id) => byId.get(id),
    hashFor: (username) => named(username)?.password ?? decoyFor(username),
  };
}

function decoyLike(phc: string): string {
  const parsed = parsePhc(phc);
  return printPhc({
    ...parsed,
    salt: randomBytes(parsed.salt.length),
    hash: randomBytes(parsed.hash.length),
  });
}
