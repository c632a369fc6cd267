/** The flags of who may call what, and of where it is written down. */
import type { Setting } from './settings.js';

export const ACCESS: readonly Setting[] = [
  {
    flag: 'audit-file',
    value: 'FILE',
    path: ['audit', 'file'],
    env: ['TIDEGATE_AUDIT_FILE'],
    help: 'a line of JSON for every call that is refused for who makes it; - is the standard output',
    default: 'none',
  },
  {
    flag: 'audit-allowed',
    path: ['audit', 'allowed'],
    env: ['TIDEGATE_AUDIT_ALLOWED'],
    help: 'a line for every call that is allowed, too',
    default: 'off',
  },
];
