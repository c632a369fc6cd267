/** What is wrong with settings of access that are right each by itself, and where their files are. */
import { circlesOf } from '../../src/policy/grants.js';
import type { Config } from './types.js';

interface Places {
  readonly placeOf: (path: readonly PropertyKey[]) => string;
}

export function accessProblems({ auth, access, identity }: Config, { placeOf }: Places): string[] {
  const problems = circlesOf(auth).map(
    (circle) => `${placeOf(['auth', 'inherits'])}: a role cannot include itself: ${circle}`,
  );
  for (const [index, { public: open, permissions = [], roles = [], bind = [] }] of access.entries()) {
    if (open === true && permissions.length + roles.length + bind.length > 0)
      problems.push(`${placeOf(['access', index])}: public contradicts permissions, roles and bind`);
  }
  const header = identity.token?.header;
  if (header !== undefined && Object.hasOwn(identity.claims, header))
    problems.push(`${placeOf(['identity', 'claims', header])}: the header is that of identity.token`);
  return problems;
}

type Tree = Record<string, unknown>;
const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Paths in a configuration file are relative to it. */
export function resolveAccessPaths(tree: Tree, resolve: (path: unknown) => unknown): void {
  const { audit, identity } = tree;
  if (isTree(audit) && 'file' in audit && audit.file !== '-') audit.file = resolve(audit.file);
  const token = isTree(identity) ? identity.token : undefined;
  if (isTree(token) && Array.isArray(token.keyFiles)) token.keyFiles = token.keyFiles.map(resolve);
}
