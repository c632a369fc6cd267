/** The settings of who may call. */
import { z } from 'zod';
import { external, inherits } from './access_schema.js';
import { hiddenLeaf, oneOf, text, whole } from './leaves.js';

const key = z.strictObject({
  algorithm: oneOf(['HS256', 'RS256']),
  key: hiddenLeaf('a key, in quotes', (value) => (typeof value === 'string' ? value : undefined)).optional(),
  keyFile: text('a file').optional(),
  keyId: text('a key id').optional(),
});

export const auth = z
  .strictObject({
    keys: z.array(key).default([]),
    issuer: text('an issuer').optional(),
    audience: text('an audience').optional(),
    leewaySeconds: whole('seconds', 0, 3600).default(30),
    roles: z.record(z.string(), z.array(text('a permission'))).default({}),
    inherits,
    external,
  })
  .prefault({});

export const AUTH_KEYS = { 'auth.keys': Object.keys(key.shape) };
