/**
 * Runs the auth service by itself: AUTH_USERS names the file of its users, AUTH_ISSUER and AUTH_AUDIENCE what its tokens say; docs/auth-service.md has
 * the rest. SIGHUP reads the users anew. `main.js hash` prints the hash of the password that stands on stdin.
 */
import { text } from 'node:stream/consumers';
import { loadDescriptors } from '../descriptors.js';
import { hashPassword } from './password.js';
import { type RunningAuth, startAuth } from './serve.js';
import { type AuthSettings, settingsOf } from './settings.js';
import { createMemoryStore } from './store.js';
import { openFileStore } from './store_file.js';
import { loadUsers } from './users_file.js';

const print = (line: object) => console.log(JSON.stringify({ time: new Date().toISOString(), ...line }));
const messageOf = (thrown: unknown) => (thrown instanceof Error ? thrown.message : String(thrown));

async function hash(): Promise<void> {
  const password = (await text(process.stdin)).replace(/\r?\n$/, '');
  if (password === '' || password.length > 1024 || /[\r\n]/.test(password)) {
    throw new Error('expected a password on stdin: one line of 1 to 1,024 characters');
  }
  console.log(await hashPassword(password));
}

async function serve(settings: AuthSettings): Promise<void> {
  const { usersFile, stateFile, ...rest } = settings;
  const users = loadUsers(usersFile);
  const store = stateFile === undefined ? createMemoryStore() : await openFileStore(stateFile);
  const descriptors = loadDescriptors('contract.binpb');
  const auth = await startAuth({ ...rest, users, store, descriptors, notify: print });
  const stop = async () => {
    await auth.close();
    await store.close();
  };
  // Before the line that says it is ready: whoever reads that may stop it at once.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void stop());
  process.on('SIGHUP', () => reload(auth, usersFile));
  console.log(`auth on ${auth.address}, with ${users.length} ${users.length === 1 ? 'user' : 'users'}`);
}

/** Users that cannot be read leave those that there are. */
function reload(auth: RunningAuth, file: string): void {
  try {
    const users = loadUsers(file);
    auth.replaceUsers(users);
    print({ event: 'users_read', users: users.length });
  } catch (thrown) {
    console.error(messageOf(thrown));
  }
}

try {
  const [command, ...others] = process.argv.slice(2);
  if (command === 'hash' && others.length === 0) await hash();
  else if (command === undefined) await serve(settingsOf(process.env));
  else throw new Error('usage: main.js, or main.js hash with a password on stdin');
} catch (thrown) {
  console.error(messageOf(thrown));
  process.exitCode = 1;
}
