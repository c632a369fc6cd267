/** The rules of the configuration on a contract: who may call which methods, beside what the contract says itself. */
import { checkAccess, checkBindings } from '../../src/contract/access_option.js';
import { type Contract, ContractError, type ContractProblem } from '../../src/contract/contract.js';
import type { Access, Method } from '../../src/method.js';
import type { AccessRuleConfig, Config, IdentityConfig } from '../config.js';
import { globPattern } from '../http/glob.js';

/**
 * The contract with the rules on it. Throws ContractError that lists rules which match nothing, which contradict what stays of the contract's own
 * option, or whose fields the request does not have; and streams whose scope names headers that the gateway itself sets.
 */
export function withAccess(
  contract: Contract,
  { access: rules, identity }: Pick<Config, 'access' | 'identity'>,
): Contract {
  const problems: ContractProblem[] = contract.methods.flatMap((method) => scopeProblems(method, identity));
  const patterns = rules.map(({ match }) => globPattern(match));
  const used = new Set<number>();
  const methods = contract.methods.map((method) => {
    const matching = [...patterns.keys()].filter((index) => patterns[index]?.test(method.name));
    if (matching.length === 0) return method;
    for (const index of matching) used.add(index);
    const access = matching.reduce(
      (before, index) => applied(before, rules[index] as AccessRuleConfig),
      method.access,
    );
    const last = matching.at(-1) as number;
    const report = (problem: string): void => {
      problems.push({ source: sourceOf(last), method: method.name, rule: rules[last]?.match ?? '', problem });
    };
    checkAccess(access, report);
    checkBindings(method.input, access, report);
    return { ...method, access };
  });
  for (const [index, { match }] of rules.entries()) {
    if (!used.has(index))
      problems.push({
        source: sourceOf(index),
        rule: match,
        problem: 'no method of the contract is matched',
      });
  }
  if (problems.length > 0) throw new ContractError(problems);
  return { ...contract, methods };
}

const sourceOf = (index: number) => ({ file: `access[${index}]` });

/** What is given replaces what was before: who may call as a whole, the bindings as a whole. */
function applied(before: Access, { public: open, permissions, roles, bind }: AccessRuleConfig): Access {
  const isAboutCallers = open !== undefined || permissions !== undefined || roles !== undefined;
  const { bind: bound = [], ...callers } = before;
  const binds = bind ?? bound;
  return {
    ...(isAboutCallers
      ? { public: open ?? false, permissions: permissions ?? [], roles: roles ?? [] }
      : callers),
    ...(binds.length > 0 && { bind: binds }),
  };
}

function scopeProblems(method: Method, { claims, token }: IdentityConfig): ContractProblem[] {
  return method.stream.scope.headers.flatMap((header) => {
    const claim = Object.hasOwn(claims, header) ? claims[header] : undefined;
    if (claim === undefined && header !== token?.header) return [];
    const problem = `${header} is what the gateway says of the caller: name the claim ${claim ?? 'that it tells'} instead`;
    return [{ source: method.source, method: method.name, rule: 'scope.headers', problem }];
  });
}
