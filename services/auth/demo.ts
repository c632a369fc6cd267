/** Two users whose passwords everybody can read here: for `npm start` on this machine, and nothing else. */
import { hashPassword } from './password.js';
import type { ScryptParameters } from './phc.js';
import type { User } from './users.js';

export const DEMO_PASSWORDS = { ada: 'ada-demo-password', ben: 'ben-demo-password' } as const;

/** Quick: there is nothing to protect. */
const PARAMETERS: ScryptParameters = { ln: 13, r: 8, p: 1 };

/** `ada` may do everything; `ben` may read and write orders. Hashed anew each time. */
export async function demoUsers(): Promise<readonly User[]> {
  const [ada, ben] = await Promise.all([
    hashPassword(DEMO_PASSWORDS.ada, PARAMETERS),
    hashPassword(DEMO_PASSWORDS.ben, PARAMETERS),
  ]);
  return [
    {
      id: 'ada',
      username: 'ada',
      password: ada,
      roles: ['admin'],
      permissions: ['*'],
      disabled: false,
    },
    {
      id: 'ben',
      username: 'ben',
      password: ben,
      roles: ['customer'],
      permissions: ['orders:read', 'orders:write'],
      disabled: false,
    },
  ];
}
