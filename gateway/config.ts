/** Flags, environment and a YAML file become one complete, validated, frozen Config. */
import { readFileSync } from 'node:fs';
import type { z } from 'zod';
import type { JsonOptions } from '../src/codec/codec.js';
import { suggest } from '../src/nearest.js';
import type { ChannelRuleConfig } from './config/channel_rules.js';
import { type ParsedFlags, parseFlags } from './config/flags.js';
import { freeze } from './config/freeze.js';
import { type KeyResult, resolveKey, resolveSecret } from './config/keys.js';
import { captureProblems, corsProblems, hostProblems, upstreamProblems } from './config/problems.js';
import { knownKeys, type ParsedConfig, SCHEMA } from './config/schema.js';
import { type Flag, SETTINGS } from './config/settings.js';
import {
  type Environment,
  type GivenKey,
  type Merged,
  mergeSources,
  type ReadFile,
} from './config/sources.js';
import { applyProfile, type HttpOptions, type Profile } from './profile.js';
import type { StreamsConfig } from './streams.js';

/** One gRPC server (or several behind one name) and the part of the contract that it serves. */
export interface UpstreamConfig {
  /** In logs, metrics and readiness; default `u1`, `u2` ... in order, or the service prefix given on the command line. */
  readonly name: string;
  /** `host:port`, plaintext (h2c). */
  readonly address: string;
  /**
   * Full names of services, or package prefixes ending in `.`, that this upstream serves. Empty: with reflection,
   * what the upstream lists; else everything that no other upstream claims.
   */
  readonly services: readonly string[];
  /** Whether its `x-http-code` chooses the HTTP status of a reply; default false: it is dropped. */
  readonly trusted: boolean;
}

/** How the REST and SSE doors speak HTTP, where clients of other gateways are used to something else. */
export interface HttpConfig extends HttpOptions {
  /** Presets every option of gateway/profile.ts that is not set itself; default `default`. */
  readonly profile: Profile;
  /**
   * The body of an HTTP error; default status. `status`: google.rpc.Status. `google`: `{"error": {...}}` of Google's APIs.
   * `problem`: RFC 9457; a request that accepts application/problem+json gets that one anyway. `grpc-gateway-v1`:
   * `{"error","message","code"}`, and its statuses 408 for CANCELLED and 412 for FAILED_PRECONDITION.
   */
  readonly errors: 'status' | 'google' | 'problem' | 'grpc-gateway-v1';
  /** Whether errors carry google.rpc.RequestInfo with the request id, as a detail; default true. */
  readonly requestInfo: boolean;
  /**
   * Names of metadata; default same: those of the headers. `grpc-gateway`: `Grpc-Metadata-`, `Grpc-Trailer-` and
   * `grpcgateway-` before them, as grpc-gateway has it by default.
   */
  readonly headers: 'same' | 'grpc-gateway';
  /** Replies of at least this size are compressed for clients that accept it, streams of lines and arrays too; 0 is none; default 1 KiB. */
  readonly compressAboveBytes: number;
  /** Whether SSE streams are compressed too, at about 140 KB of memory each; default false. */
  readonly compressEvents: boolean;
  /** Whether single replies to GET have an ETag, a hash of the body, and If-None-Match is answered with 304; default false. */
  readonly etag: boolean;
}

/** Options of the methods or routes that `match`: of what is not given, the application's. */
export interface RouteConfig {
  /**
   * `orders.v1.OrdersService/GetOrder` is a method, with all its routes; `GET /v1/orders/{order_id}` is a route as the contract
   * declares it. `*` stands for any text. One that matches nothing is a problem of the contract.
   */
  readonly match: string;
  readonly json?: { readonly [K in keyof JsonOptions]?: JsonOptions[K] | undefined } | undefined;
  readonly unknownFields?: HttpOptions['unknownFields'] | undefined;
  readonly unknownParameters?: HttpOptions['unknownParameters'] | undefined;
  /** The longest deadline of its calls, in ms: also of those that would have none. */
  readonly maxTimeoutMs?: number | undefined;
}

/** What pages of the allowed `origins` may do by fetch and EventSource (the CORS protocol of the Fetch standard). */
export interface CorsConfig {
  /** Whether their requests may carry cookies and be read; default false. Not together with the origin `*`. */
  readonly credentials: boolean;
  /** How long a browser may remember the answer to a preflight, in seconds; default 600. */
  readonly maxAgeSeconds: number;
  /** Request headers, in lower case, that they may send besides the ones that the gateway itself reads; `*` is any; default none. */
  readonly allowHeaders: readonly string[];
}

/** Where the contract comes from. With neither protos nor descriptors, it is read from the upstreams by reflection. */
export interface ContractConfig {
  /** .proto files, or folders that are searched for them. */
  readonly protos: readonly string[];
  /** Folders where imports are looked up, besides each proto folder itself and the Google API protos that we carry. */
  readonly includes: readonly string[];
  /** Files that hold an encoded google.protobuf.FileDescriptorSet. */
  readonly descriptors: readonly string[];
  /**
   * google.api.Service files (YAML) whose rules stand in for the contract's own options; of several rules for a method the
   * last one holds.
   */
  readonly serviceConfigs: readonly string[];
  /**
   * Between two looks whether the contract has changed, in ms; 0 is never; default 1 s for files, which are read only when
   * they were written to, and 30 s for upstreams that are asked by reflection.
   */
  readonly reloadMs?: number | undefined;
  /**
   * Of two routes for the same requests (one HTTP method, one path) the one declared first or last serves them, or the
   * contract is refused; default error.
   */
  readonly duplicateRoutes: 'error' | 'first' | 'last';
}

/** One way of verifying tokens. A token must name (`kid`) or match one of them by algorithm. */
export interface KeyConfig {
  readonly algorithm: 'HS256' | 'RS256';
  /** HS256: the shared secret, at least 32 bytes. RS256: a PEM public key. */
  readonly key: string;
  /** Only for tokens whose header names this key id, if set. */
  readonly keyId?: string;
}

export interface AuthConfig {
  readonly keys: readonly KeyConfig[];
  /** Required `iss`, if set. */
  readonly issuer?: string;
  /** Required `aud`, if set. */
  readonly audience?: string;
  /** Allowed clock difference in seconds for exp, nbf and iat; default 30. */
  readonly leewaySeconds: number;
  /** Permissions of each role. A token's roles (`roles` claim) add these to its `permissions` claim. */
  readonly roles: Readonly<Record<string, readonly string[]>>;
}

export interface LimitsConfig {
  /** Largest request body, in bytes; default 4 MiB (gRPC's own default). */
  readonly bodyBytes: number;
  /** Largest WebSocket message, in bytes; default 64 KiB. */
  readonly frameBytes: number;
  /** Largest request header block and largest metadata, in bytes; default 16 KiB. */
  readonly headerBytes: number;
  /** Largest message that an upstream may send, in bytes; default 4 MiB. */
  readonly replyBytes: number;
  /** Calls open at once on one WebSocket; default 100. */
  readonly streamsPerSocket: number;
  /** Messages from the client that wait for one service, per WebSocket call; default 64. */
  readonly queuedMessages: number;
}

export interface TimeoutsConfig {
  /** Deadline of calls whose client names none, in ms; 0 is none; default 30 s. Server and bidi streams have none. */
  readonly unaryMs: number;
  /** The largest deadline that a client may ask for, in ms; 0 is any; default 0. */
  readonly maxMs: number;
  /** A stream whose service is silent this long counts as accepted, in ms; default 200. */
  readonly acceptMs: number;
  /** Between heartbeats on a quiet SSE stream, and between WebSocket pings, in ms; default 25 s. */
  readonly heartbeatMs: number;
  /** For `hello` on a multiplexed WebSocket, in ms; default 10 s. */
  readonly helloMs: number;
  /** How long a client may send nothing in the middle of a body, in ms; 0 is for ever; default 20 s. Then: 408. */
  readonly bodyMs: number;
  /** Between SIGTERM and the end of calls that are still running, in ms; default 10 s. */
  readonly drainMs: number;
  /** For upstreams that cannot be asked for their contract yet when the gateway starts, in ms; 0: none; default 30 s. */
  readonly startMs: number;
}

export interface Config {
  /** Default 127.0.0.1 in dev mode, else 0.0.0.0. */
  readonly host: string;
  /** Default 8080; 0 picks a free one. */
  readonly port: number;
  /** Development mode: tokens signed with the public development secret are accepted, and only loopback is listened on. */
  readonly dev: boolean;
  readonly upstreams: readonly UpstreamConfig[];
  readonly contract: ContractConfig;
  readonly auth: AuthConfig;
  readonly json: JsonOptions;
  readonly limits: LimitsConfig;
  readonly timeouts: TimeoutsConfig;
  readonly http: HttpConfig;
  /** What some methods and routes have otherwise. Of several that match, the later decides. */
  readonly routes: readonly RouteConfig[];
  /** Origins, besides the gateway's own host, whose pages may read answers (CORS) and open WebSockets; `*` allows all. Default none. */
  readonly origins: readonly string[];
  readonly cors: CorsConfig;
  /**
   * How many proxies stand before the gateway and add themselves to `x-forwarded-for`; default 0: what clients say in
   * `x-forwarded-*` is dropped.
   */
  readonly trustedHops: number;
  /** Headers, in lower case, that no service receives, besides those that never reach one; default none. */
  readonly stripHeaders: readonly string[];
  /** `memory` (also undefined), or the URL of the Redis server that the nodes of a cluster share. May hold a password. */
  readonly broker?: string | undefined;
  readonly streams: StreamsConfig;
  /** Whether the built-in Channels service is served; default false. */
  readonly channels: boolean;
  /** Who may do what in which channels. Of several rules that match, the later decides; default none. */
  readonly channelRules: readonly ChannelRuleConfig[];
  /** pino level: fatal, error, warn, info, debug, trace or silent; default info. */
  readonly logLevel: string;
}

/**
 * Signs and verifies the tokens of development mode. Everybody can read it here, so everybody can sign as anybody:
 * it is refused outside development mode.
 */
export const DEVELOPMENT_SECRET = 'tidegate-development-secret-known-to-everybody';

/** What is wrong with a configuration: every problem found, not the first alone. Each names its source. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** `usage`: the command line itself was not understood. */
  constructor(
    readonly problems: readonly string[],
    readonly usage = false,
  ) {
    super(problems.join('\n'));
  }
}

export interface LoadOptions {
  /** Without the command's name. */
  readonly argv: readonly string[];
  readonly env: Environment;
  /** Text of a file, UTF-8; for tests. Default: the file system's. */
  readonly readFile?: ReadFile;
  /** The flags that the command knows; those that are no settings are skipped. Default: all settings. */
  readonly flags?: readonly Flag[];
  /** Whether it has to name upstreams: always (default), only to read the contract from them, or never. */
  readonly upstreams?: 'required' | 'for-reflection' | 'optional';
}

/**
 * Flags win over the environment, the environment over the YAML file, the file over the defaults. A list is replaced
 * as a whole; a key (HS256, RS256) replaces the file's keys of its algorithm. Paths in the file are relative to it.
 * Unknown flags and keys are errors. Throws ConfigError.
 */
export function loadConfig({ argv, env, readFile = readText, ...options }: LoadOptions): Config {
  const flags: ParsedFlags = parseFlags(argv, options.flags ?? SETTINGS);
  const merged = mergeSources(flags, env, readFile);
  applyProfile(merged.tree);
  const parsed = SCHEMA.safeParse(merged.tree);
  const problems = [...merged.problems];
  if (!parsed.success) {
    problems.push(...parsed.error.issues.flatMap((issue) => printIssue(issue, merged)));
    throw new ConfigError(problems, flags.problems.length > 0);
  }
  const keys = keysOf(parsed.data, merged).map(({ place, key }) => ({ place, ...resolveKey(key, readFile) }));
  const stream = resolveSecret(parsed.data.streams, readFile);
  const config = complete(parsed.data, keys, stream.secret);
  if (stream.problem !== undefined) problems.push(`${secretPlace(parsed.data, merged)}: ${stream.problem}`);
  problems.push(...keyProblems(keys, config), ...hostProblems(config, env, merged));
  problems.push(...upstreamProblems(config, options.upstreams ?? 'required', merged));
  problems.push(...corsProblems(config, merged), ...captureProblems(config, merged));
  if (problems.length > 0) throw new ConfigError(problems, flags.problems.length > 0);
  return freeze(config);
}

function secretPlace({ streams }: ParsedConfig, { placeOf }: Merged): string {
  return placeOf(['streams', streams.secretFile === undefined ? 'secret' : 'secretFile']);
}

function readText(path: string): string {
  return readFileSync(path, 'utf8');
}

function printIssue(issue: z.core.$ZodIssue, { placeOf }: Merged): string[] {
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(issue.path);
    return issue.keys.map((key) => `${placeOf([...issue.path, key])}: unknown key${suggest(key, known)}`);
  }
  if (issue.code === 'invalid_type') {
    const expected = issue.expected === 'array' ? 'a list' : 'a mapping';
    return [`${placeOf(issue.path)}: expected ${expected}`];
  }
  return [`${placeOf(issue.path)}: ${issue.message}`];
}

type ResolvedKey = KeyResult & { readonly place: string };

/** What development mode adds, and the defaults that depend on other settings. */
function complete(
  { host, auth, upstreams, streams, ...rest }: ParsedConfig,
  keys: readonly ResolvedKey[],
  secret: string | undefined,
): Config {
  const { secret: _, secretFile: __, ...times } = streams;
  const { issuer, audience, leewaySeconds } = auth;
  const developmentKey: KeyConfig = { algorithm: 'HS256', key: DEVELOPMENT_SECRET };
  return {
    ...rest,
    streams: { ...times, ...(secret === undefined ? {} : { secret }) },
    host: host ?? (rest.dev ? '127.0.0.1' : '0.0.0.0'),
    upstreams: upstreams.map(({ name, ...upstream }, index) => ({
      name: name ?? `u${index + 1}`,
      ...upstream,
    })),
    auth: {
      keys: [
        ...keys.flatMap((result) => ('key' in result ? [result.key] : [])),
        ...(rest.dev ? [developmentKey] : []),
      ],
      ...(issuer === undefined ? {} : { issuer }),
      ...(audience === undefined ? {} : { audience }),
      leewaySeconds,
      roles: { ...(rest.dev ? { admin: ['*'] } : {}), ...auth.roles },
    },
  };
}

/** A key from flag or environment replaces the file's keys of its algorithm. */
function keysOf({ auth }: ParsedConfig, { keys, placeOf }: Merged): readonly GivenKey[] {
  const fromFile = auth.keys.map((key, index) => ({ place: placeOf(['auth', 'keys', index]), key }));
  const replaced = new Set(keys.map(({ key }) => key.algorithm));
  return [...keys, ...fromFile.filter(({ key }) => !replaced.has(key.algorithm))];
}

function keyProblems(keys: readonly ResolvedKey[], { dev }: Config): string[] {
  return keys.flatMap((resolved) => {
    if ('problem' in resolved) return [`${resolved.place}: ${resolved.problem}`];
    if (dev || resolved.key.key !== DEVELOPMENT_SECRET) return [];
    return [`${resolved.place}: this is the public development secret; it is for --dev alone`];
  });
}
