/** The settings of TLS. */
import { z } from 'zod';
import { leaf, text } from './leaves.js';

const serverName = leaf('a host name', (value) =>
  typeof value === 'string' && /^[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?$/i.test(value) ? value : undefined,
);

export const tls = z.strictObject({
  certFile: text('a file').optional(),
  keyFile: text('a file').optional(),
});

export const upstreamTls = z.strictObject({
  caFile: text('a file').optional(),
  certFile: text('a file').optional(),
  keyFile: text('a file').optional(),
  serverName: serverName.optional(),
});

export const TLS_KEYS = { tls: Object.keys(tls.shape), 'upstreams.tls': Object.keys(upstreamTls.shape) };
