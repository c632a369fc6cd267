/** The part of the configuration that may change while the gateway runs: roles, and rules about access. */
import { createHash } from 'node:crypto';
import { ContractError } from '../../src/contract/contract.js';
import { createGrants, type Grants } from '../../src/policy/grants.js';
import { type Config, ConfigError } from '../config.js';

/** What is read again; all the rest of a configuration is as it was at the start. */
export type Rules = Pick<Config, 'access'> & { readonly auth: Pick<Config['auth'], 'roles' | 'inherits'> };

export interface RulesReader {
  /** Throws ContractError when the configuration cannot be read now. */
  read(): Rules;
}

/** Without `reread` the rules stay as they are. The first time, what is configured is what has just been read. */
export function createRulesReader(config: Config, reread: (() => Config) | undefined): RulesReader {
  let isFirst = true;
  return {
    read() {
      if (isFirst || reread === undefined) {
        isFirst = false;
        return config;
      }
      try {
        return reread();
      } catch (thrown) {
        if (!(thrown instanceof ConfigError)) throw thrown;
        throw new ContractError(thrown.problems.map((problem) => ({ problem })));
      }
    },
  };
}

export function grantsOf({ auth: { roles, inherits } }: Rules): Grants {
  return createGrants({ roles, inherits });
}

/** Equal for a contract and rules that are equal. */
export function fingerprintWith(contract: string, { access, auth: { roles, inherits = {} } }: Rules): string {
  return createHash('sha256')
    .update(JSON.stringify([contract, access, roles, inherits]))
    .digest('hex');
}
