/** What the package gives to programs that use Tidegate as a library, beside createGateway. */
export {
  type Call,
  chain,
  type Interceptor,
  type Invoke,
  type Message,
  type Metadata,
  type Reply,
} from './call.js';
export { type Contract, ContractError, type ContractProblem } from './contract/contract.js';
export type { Access, HttpRule, Method, Source, StreamOptions } from './method.js';
export type { Principal } from './principal.js';
export { Code, type CodeName, type Detail, STATUS, StatusError } from './status.js';
