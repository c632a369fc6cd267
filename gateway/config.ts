/** Flags, environment and a YAML file become one complete, validated, frozen Config. */
import { readFileSync } from 'node:fs';
import type { z } from 'zod';
import { suggest } from '../src/nearest.js';
import { accessProblems } from './config/access_problems.js';
import type { IssuerConfig, KeyConfig } from './config/auth_types.js';
import { type ParsedFlags, parseFlags } from './config/flags.js';
import { freeze } from './config/freeze.js';
import { issuerProblems, resolveIssuers } from './config/issuers.js';
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
import { tlsProblems } from './config/tls_problems.js';
import type { TlsConfig } from './config/tls_types.js';
import type { Config } from './config/types.js';
import { applyProfile } from './profile.js';

export type {
  AccessRuleConfig,
  AuditConfig,
  ExternalConfig,
  IdentityConfig,
  IdentityTokenConfig,
} from './config/access_types.js';
export type { AuthConfig, IssuerConfig, KeyConfig, TokenSource } from './config/auth_types.js';
export type { LimitsConfig, TimeoutsConfig } from './config/limits_types.js';
export type {
  Config,
  ContractConfig,
  CorsConfig,
  HttpConfig,
  RouteConfig,
  UpstreamConfig,
} from './config/types.js';

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
  const issuers = resolveIssuers(parsed.data.auth, readFile, merged);
  const config = {
    ...complete(parsed.data, { keys, issuers: issuers.issuers }, stream.secret),
    ...(merged.file && { file: merged.file }),
  };
  if (stream.problem !== undefined) problems.push(`${secretPlace(parsed.data, merged)}: ${stream.problem}`);
  problems.push(...keyProblems(keys, config), ...hostProblems(config, env, merged));
  problems.push(
    ...issuers.problems,
    ...issuerProblems(parsed.data, config, { ...merged, places: issuers.places }),
  );
  problems.push(...upstreamProblems(config, options.upstreams ?? 'required', merged));
  problems.push(
    ...corsProblems(config, merged),
    ...captureProblems(config, merged),
    ...tlsProblems(config, merged),
    ...accessProblems(config, merged),
  );
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

interface Verifying {
  readonly keys: readonly ResolvedKey[];
  readonly issuers: readonly IssuerConfig[];
}

/** What development mode adds, and the defaults that depend on other settings. */
function complete(
  { host, tls, auth, upstreams, streams, ...rest }: ParsedConfig,
  { keys, issuers }: Verifying,
  secret: string | undefined,
): Config {
  const { secret: _, secretFile: __, ...times } = streams;
  const {
    keys: _keys,
    issuers: _issuers,
    jwksUrl,
    issuer,
    audience,
    cookie,
    queryParameter,
    roles,
    inherits,
    external,
    ...others
  } = auth;
  const developmentKey: KeyConfig = { algorithm: 'HS256', key: DEVELOPMENT_SECRET };
  return {
    ...rest,
    streams: { ...times, ...(secret === undefined ? {} : { secret }) },
    // A certificate without its key, or the other way around, is told of below.
    ...(tls === undefined ? {} : { tls: tls as TlsConfig }),
    host: host ?? (rest.dev ? '127.0.0.1' : '0.0.0.0'),
    upstreams: upstreams.map(({ name, ...upstream }, index) => ({
      name: name ?? `u${index + 1}`,
      ...upstream,
    })),
    auth: {
      ...others,
      issuers,
      ...(cookie === undefined ? {} : { cookie }),
      ...(queryParameter === undefined ? {} : { queryParameter }),
      keys: [
        ...keys.flatMap((result) => ('key' in result ? [result.key] : [])),
        ...(rest.dev ? [developmentKey] : []),
      ],
      // With the URL of keys, these two are of that issuer (see resolveIssuers).
      ...(issuer === undefined || jwksUrl !== undefined ? {} : { issuer }),
      ...(audience === undefined || jwksUrl !== undefined ? {} : { audience }),
      roles: { ...(rest.dev ? { admin: ['*'] } : {}), ...roles },
      ...(Object.keys(inherits).length > 0 && { inherits }),
      ...(external && { external }),
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
