/** The settings of the gRPC servers behind the gateway. */
import { z } from 'zod';
import { boolean, leaf, text, within } from './leaves.js';
import { upstreamTls } from './tls_schema.js';

const ADDRESS = /^(?:\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_.])?):(\d{1,5})$/i;

const address = leaf('HOST:PORT, or grpcs://HOST:PORT', (value) => {
  const port = typeof value === 'string' ? ADDRESS.exec(value)?.[1] : undefined;
  return within(port === undefined ? undefined : Number(port), 1, 65535) === undefined
    ? undefined
    : (value as string);
});

const SERVICE = /^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\.?$/;

const service = leaf('the full name of a service, or a package followed by a dot', (value) =>
  typeof value === 'string' && SERVICE.test(value) ? value : undefined,
);

interface GivenUpstream {
  readonly name?: string;
  readonly address: string;
  readonly tls?: object;
  readonly services: string[];
}

const SECURE = 'grpcs://';

function parseAddress(given: string): Pick<GivenUpstream, 'address' | 'tls'> {
  return given.startsWith(SECURE) ? { address: given.slice(SECURE.length), tls: {} } : { address: given };
}

/**
 * `[PREFIX=][grpcs://]HOST:PORT`. The scheme is TLS with the authorities that Node knows. The prefix becomes the upstream's name. Its last part decides what it claims, by protobuf's own
 * naming rule: `orders.v1.OrdersService` begins with a capital, so it is a service; `orders.v1` (or `orders.v1.`) is a
 * package, with the packages inside it.
 */
function parseUpstream(given: string): GivenUpstream {
  const split = given.indexOf('=');
  if (split === -1) return { ...parseAddress(given), services: [] };
  const prefix = given.slice(0, split);
  const last = prefix.slice(prefix.lastIndexOf('.') + 1);
  const isPackage = last !== '' && !/^[A-Z]/.test(last);
  return {
    name: prefix.replace(/\.$/, ''),
    ...parseAddress(given.slice(split + 1)),
    services: [isPackage ? `${prefix}.` : prefix],
  };
}

const upstreamObject = z.strictObject({
  name: text('a name').optional(),
  address,
  services: z.array(service).default([]),
  trusted: boolean().default(false),
  tls: upstreamTls.optional(),
});

export const upstream = z
  .unknown()
  .transform((value) => (typeof value === 'string' ? parseUpstream(value) : value))
  .pipe(upstreamObject);

export const UPSTREAM_KEYS = { upstreams: Object.keys(upstreamObject.shape) };
