/** Who calls, as the gateway says: services verify no tokens, they trust the identity headers that the gateway sets. */
import { type Metadata, status } from '@grpc/grpc-js';
import { invalid, refused, type ServiceError } from './errors.js';

const LONGEST_USER_ID = 256;

export interface Caller {
  /** Whether the gateway has verified a token. Calls that several callers share tell their permissions, and not who they are. */
  readonly isKnown: boolean;
  /** `x-user-id`; empty for an anonymous caller. */
  readonly userId: string;
  /** `x-permissions`, where `*` grants all and `orders:*` all that begin with `orders:`. */
  readonly permissions: ReadonlySet<string>;
  /** Of the client: the first of `x-forwarded-for`, as the gateway sets it; empty if it is not told. */
  readonly address: string;
}

/** Reads the caller from the metadata of a call. Throws INVALID_ARGUMENT for an identity that is too long to be kept. */
export function callerOf(metadata: Metadata): Caller {
  const userId = decode(textOf(metadata, 'x-user-id'));
  if (userId.length > LONGEST_USER_ID) {
    throw invalid([{ field: 'x-user-id', description: `must have at most ${LONGEST_USER_ID} characters` }]);
  }
  const permissions = textOf(metadata, 'x-permissions').split(',').filter(Boolean);
  const isKnown = userId !== '' || metadata.get('x-permissions').length > 0;
  const [address = ''] = textOf(metadata, 'x-forwarded-for').split(',');
  return { isKnown, userId, permissions: new Set(permissions.map(decode)), address: address.trim() };
}

/** The gateway percent-encodes what a header cannot carry. What is not so encoded is taken as it is. */
function decode(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/** The caller's user id. Throws UNAUTHENTICATED when there is none, for what cannot be done by nobody. */
export function userOf(caller: Caller): string {
  if (caller.userId !== '') return caller.userId;
  throw refused(status.UNAUTHENTICATED, 'NO_IDENTITY', 'the metadata x-user-id is missing');
}

export function isAllowed({ permissions }: Caller, permission: string): boolean {
  if (permissions.has(permission)) return true;
  for (const held of permissions) {
    if (held.endsWith('*') && permission.startsWith(held.slice(0, -1))) return true;
  }
  return false;
}

export function forbidden(permission: string, action: string): ServiceError {
  return refused(
    status.PERMISSION_DENIED,
    'PERMISSION_MISSING',
    `${action} needs the permission ${permission}`,
    {
      permission,
    },
  );
}

function textOf(metadata: Metadata, name: string): string {
  return metadata
    .get(name)
    .map((value) => value.toString())
    .join(',');
}
