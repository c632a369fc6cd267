/** A contract: the methods that are served and the types they speak, wherever they came from. */
import type { FileRegistry } from '@bufbuild/protobuf';
import type { Method, Source } from '../method.js';

export interface Contract {
  readonly methods: readonly Method[];
  /** Every message, enum and extension, for JSON and for google.protobuf.Any. */
  readonly types: FileRegistry;
  /** What a person should know before serving it, a line each; default nothing. */
  readonly warnings?: readonly string[];
}

/** One thing that is wrong in a contract. */
export interface ContractProblem {
  /** Where, if the source tells. */
  readonly source?: Source;
  /** `orders.v1.OrdersService/GetOrder`, if it is about a method. */
  readonly method?: string;
  /** What was declared, for example `GET /v1/{order_id`. */
  readonly rule?: string;
  /** What is wrong with it, and what to do. */
  readonly problem: string;
  /** True when it may be gone by itself later: an upstream that did not answer. */
  readonly temporary?: boolean;
  /** Equal for problems that one change puts right; see collapse. */
  readonly cause?: string;
}

/** `orders.proto:12: orders.v1.OrdersService/GetOrder: GET /v1/{order_id: unclosed variable`. A rule that is the method's name is not told again. */
export function printProblem({ source, method, rule, problem }: ContractProblem): string {
  const place = source && (source.line === undefined ? source.file : `${source.file}:${source.line}`);
  return [place, method, rule !== method && rule, problem].filter(Boolean).join(': ');
}

/** Of problems with one cause only the first, which tells how many more there are. */
export function collapse(problems: readonly ContractProblem[]): ContractProblem[] {
  const counts = new Map<string, number>();
  for (const { cause } of problems) if (cause !== undefined) counts.set(cause, (counts.get(cause) ?? 0) + 1);
  return problems.flatMap(({ cause, ...told }) => {
    const count = cause === undefined ? 1 : counts.get(cause);
    if (cause !== undefined) counts.delete(cause);
    if (count === undefined) return [];
    return [count === 1 ? told : { ...told, problem: `${told.problem} (and ${count - 1} more)` }];
  });
}

/** A contract that cannot be served. It lists every problem found, not the first alone. */
export class ContractError extends Error {
  override readonly name = 'ContractError';
  constructor(readonly problems: readonly ContractProblem[]) {
    super(problems.map(printProblem).join('\n'));
  }
}
