/** tidegate.v1.access of a method: read from the fields of the encoded option, and checked, wherever it stands. */
import type { DescMessage } from '@bufbuild/protobuf';
import type { Access, ClaimBinding } from '../method.js';
import { boundFieldProblem } from '../policy/bound_field.js';
import { numberOf, partsOf, textOf, type WireField } from './wire.js';

/** Without the option: a valid token is enough. */
export const ANY_TOKEN: Access = Object.freeze({ public: false, permissions: [], roles: [] });

/** Field numbers of tidegate.v1.Access and the message in it (proto/tidegate/v1/options.proto). */
const ACCESS = { public: 1, permissions: 2, roles: 3, bind: 4 } as const;
const BINDING = { field: 1, claim: 2, unless: 3, firstOnly: 4 } as const;

type Fields = readonly WireField[];

/** Throws when a message in it is none. */
export function readAccess(fields: Fields, report: (problem: string) => void): Access {
  const bind = fields.filter(({ no }) => no === ACCESS.bind).map((field) => readBinding(partsOf(field)));
  const access: Access = {
    public: flagIn(fields, ACCESS.public),
    permissions: textsIn(fields, ACCESS.permissions),
    roles: textsIn(fields, ACCESS.roles),
    ...(bind.length > 0 && { bind }),
  };
  checkAccess(access, report);
  return access;
}

function readBinding(fields: Fields): ClaimBinding {
  return {
    field: textsIn(fields, BINDING.field).at(-1) ?? '',
    claim: textsIn(fields, BINDING.claim).at(-1) ?? '',
    unless: textsIn(fields, BINDING.unless),
    ...(flagIn(fields, BINDING.firstOnly) && { firstOnly: true }),
  };
}

function textsIn(fields: Fields, no: number): string[] {
  return fields.filter((field) => field.no === no).map((field) => textOf(field) ?? '');
}

function flagIn(fields: Fields, no: number): boolean {
  const last = fields.findLast((field) => field.no === no);
  return last !== undefined && numberOf(last) !== 0;
}

/** Reports what no rule about access may say. */
export function checkAccess(
  { public: open, permissions, roles, bind = [] }: Access,
  report: (problem: string) => void,
): void {
  const names = [...permissions, ...roles];
  if (open && names.length > 0)
    report('public contradicts permissions and roles: whoever has no token has none of them');
  if (open && bind.length > 0)
    report('public contradicts bind: whoever has no token has no claims that a field could hold');
  if (names.includes('') || bind.some(({ unless }) => unless.includes('')))
    report('a permission or role is empty');
  for (const { field, claim } of bind) {
    if (field === '') report('bind: field is missing, the field of the request that a claim stands in');
    else if (claim === '') report(`bind ${field}: claim is missing, what the field must hold`);
  }
}

/** Reports fields that the request does not have, or that nothing can be compared with. */
export function checkBindings(
  input: DescMessage,
  { bind = [] }: Access,
  report: (problem: string) => void,
): void {
  for (const { field } of bind) {
    const problem = field === '' ? undefined : boundFieldProblem(input, field);
    if (problem !== undefined) report(`bind ${field}: ${problem}`);
  }
}

/** `orders:read and role admin or staff, customer_id = sub`; `public`; `any token`. */
export function printAccess({ public: open, permissions, roles, bind = [] }: Access): string {
  if (open) return 'public';
  const rights = [...permissions];
  if (roles.length > 0) rights.push(`role ${roles.join(' or ')}`);
  const who = rights.length === 0 ? 'any token' : rights.join(' and ');
  return [who, ...bind.map(printBinding)].join(', ');
}

function printBinding({ field, claim, unless, firstOnly }: ClaimBinding): string {
  const exceptions = unless.length > 0 ? ` unless ${unless.join(' or ')}` : '';
  return `${field} = ${claim}${firstOnly ? ' in the first message' : ''}${exceptions}`;
}
