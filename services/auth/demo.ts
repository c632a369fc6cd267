/** Two users whose passwords everybody can read here: for `npm start` on this machine, and nothing else. */
import { hashPassword } from './password.js';
import type { User } from './users.js';

export const DEMO_PASSWORDS = { ada: 'ada-demo-password', ben: 'ben-demo-password' } as const;

/** `ada` may do everything; `ben` may read and write orders. Hashed anew each time. */
export async function demoUsers(): Promise<readonly User[]> {
  const [ada, ben] = await Promise.all([hashPassword(DEMO_PASSWORDS.ada), hashPassword(DEMO_PASSWORDS.ben)]);
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
