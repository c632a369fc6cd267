/** `tidegate routes`: every route of the contract, the doors that serve it, and who may pass. */
import { printAccess } from '../../src/contract/access_option.js';
import { printProblem } from '../../src/contract/contract.js';
import type { Access, Method, StreamOptions } from '../../src/method.js';
import type { Config } from '../config.js';
import type { Endpoint, Table } from '../http/table.js';
import { openTable } from '../load.js';
import { formatColumns } from './columns.js';
import type { Io } from './command.js';

/** Prints the table of what `serve` would serve. Rejects with ContractError. */
export async function routes(config: Config, { json }: { readonly json: boolean }, io: Io): Promise<number> {
  const { table, close } = await openTable(config);
  io.out(json ? JSON.stringify(listRoutes(table), undefined, 2) : formatRoutes(table));
  for (const problem of table.shadowed) io.err(`not served: ${printProblem(problem)}`);
  for (const warning of table.contract.warnings ?? []) io.err(warning);
  await close();
  return 0;
}

/** One route, as `tidegate routes --json` prints it. */
export interface RouteRow {
  /** HTTP method; `*` is any. */
  readonly method: string;
  readonly path: string;
  readonly doors: readonly string[];
  /** `orders.v1.OrdersService/GetOrder` */
  readonly rpc: string;
  /** Of a method that answers a stream: whose calls it shares, and the position in its messages; else undefined. */
  readonly stream?: Pick<StreamOptions, 'sharing' | 'cursorField'>;
  readonly access: Access;
  /** Empty when no upstreams are configured. */
  readonly upstream: string;
}

/** The routes in the order of the contract. */
export function listRoutes({ endpoints }: Table): readonly RouteRow[] {
  return endpoints.map(({ method, rule }: Endpoint) => ({
    method: rule.verb,
    path: rule.template,
    doors: doorsOf(method),
    rpc: method.name,
    ...(method.serverStreaming && { stream: streamOf(method) }),
    access: method.access,
    upstream: method.upstream,
  }));
}

const HEADINGS = ['METHOD', 'PATH', 'DOORS', 'RPC', 'STREAM', 'ACCESS', 'UPSTREAM'] as const;

/** The same as text in columns, without a newline at its end. */
export function formatRoutes(table: Table): string {
  return formatColumns([
    HEADINGS,
    ...listRoutes(table).map(({ method, path, doors, rpc, stream, access, upstream }) => [
      method,
      path,
      doors.join(', '),
      rpc,
      stream ? printStream(stream) : '',
      access.public ? 'public' : printAccess(access).replace(/^any token/, 'token'),
      upstream,
    ]),
  ]);
}

/** What a client can speak to reach the method. Over HTTP/1.1 a bidi stream answers while or after it reads, never freely. */
function doorsOf({ clientStreaming, serverStreaming }: Method): readonly string[] {
  if (!serverStreaming) return ['REST', 'WS'];
  return clientStreaming ? ['WS', 'REST (half duplex)'] : ['NDJSON', 'JSON array', 'SSE', 'WS'];
}

const streamOf = ({ stream: { sharing, cursorField } }: Method) => ({ sharing, cursorField });

/** `shared`, or `node, cursor sequence`. */
function printStream({ sharing, cursorField }: NonNullable<RouteRow['stream']>): string {
  return cursorField === '' ? sharing : `${sharing}, cursor ${cursorField}`;
}
