/** Who may call what, as a table: every method, and everyone who is somebody else to the rules. */
import { printAccess } from '../../src/contract/access_option.js';
import type { Access, Method } from '../../src/method.js';
import { allowed, covers } from '../../src/policy/authorize.js';
import { type RoleRules, worthOf } from '../../src/policy/grants.js';
import { ANONYMOUS, type Principal } from '../../src/principal.js';
import { formatColumns } from '../command/columns.js';

/** `own`: requests that say what the caller's claims say (`access.bind`), and no others. */
export type Right = 'yes' | 'own' | 'no';

/** One method, as `tidegate check --json` prints it. */
export interface MatrixRow {
  readonly method: string;
  readonly access: Access;
  /** Without a token. */
  readonly anyone: Right;
  /** With a token that has neither permissions nor roles. */
  readonly authenticated: Right;
  /** With a token that has this role and nothing else. */
  readonly roles: Readonly<Record<string, Right>>;
}

/** Roles of the configuration in its order, then those that the contract alone knows, sorted. */
export function matrixOf(methods: readonly Method[], rules: RoleRules): readonly MatrixRow[] {
  const bearers = rolesIn(methods, rules).map((role) => [role, bearerOf(role, rules)] as const);
  return methods.map(({ name, access }) => ({
    method: name,
    access,
    anyone: rightOf(access, ANONYMOUS),
    authenticated: rightOf(access, NOBODY_SPECIAL),
    roles: Object.fromEntries(bearers.map(([role, bearer]) => [role, rightOf(access, bearer)])),
  }));
}

const NOBODY_SPECIAL: Principal = { ...ANONYMOUS, subject: 'somebody' };

function bearerOf(role: string, rules: RoleRules): Principal {
  const { roles, permissions } = worthOf(role, rules);
  return { ...NOBODY_SPECIAL, roles: new Set(roles), permissions: new Set(permissions) };
}

function rolesIn(methods: readonly Method[], { roles, inherits = {} }: RoleRules): readonly string[] {
  const configured = [...Object.keys(roles), ...Object.keys(inherits)];
  const others = [...Object.values(inherits).flat(), ...methods.flatMap(({ access }) => access.roles)];
  return [...new Set([...configured, ...others.sort()])];
}

function rightOf(access: Access, bearer: Principal): Right {
  if (allowed(access, bearer) !== 'allowed') return 'no';
  const isFree = ({ unless }: NonNullable<Access['bind']>[number]) =>
    unless.some((permission) => covers(bearer.permissions, permission));
  return (access.bind ?? []).every(isFree) ? 'yes' : 'own';
}

const SIGNS: Readonly<Record<Right, string>> = { yes: 'yes', own: 'own', no: '-' };

/** The same as text in columns, without a newline at its end. */
export function formatMatrix(matrix: readonly MatrixRow[]): string {
  const roles = Object.keys(matrix[0]?.roles ?? {});
  return formatColumns([
    ['METHOD', 'NEEDS', 'anyone', 'authenticated', ...roles],
    ...matrix.map(({ method, access, anyone, authenticated, roles: rights }) => [
      method,
      printAccess(access),
      ...[anyone, authenticated, ...roles.map((role) => rights[role] ?? 'no')].map((right) => SIGNS[right]),
    ]),
  ]);
}
