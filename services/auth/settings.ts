/** What the auth service is told by its environment, checked before anything is started. */
import type { Algorithm } from './keys.js';

export interface AuthSettings {
  readonly host: string;
  readonly port: number;
  readonly usersFile: string;
  /** Default: nothing is kept. */
  readonly stateFile: string | undefined;
  readonly issuer: string;
  readonly audience: string;
  readonly algorithm: Algorithm;
  readonly accessSeconds: number;
  /** Default: access tokens are not taken back. */
  readonly revocationsUrl: string | undefined;
}

/** Throws an error that names every variable that is wrong, a line each. */
export function settingsOf(env: Readonly<Record<string, string | undefined>>): AuthSettings {
  const problems: string[] = [];
  const whole = (name: string, { least, most, usual }: { least: number; most: number; usual: number }) => {
    const text = env[name] ?? String(usual);
    const value = Number(text);
    if (!/^[0-9]+$/.test(text) || value < least || value > most) {
      problems.push(`${name}: must be ${least} to ${most}, not ${text}`);
    }
    return value;
  };
  const required = (name: string, what: string) => {
    if (!env[name]) problems.push(`${name} is missing: ${what}`);
    return env[name] ?? '';
  };
  const algorithm = env.AUTH_ALGORITHM ?? 'RS256';
  if (algorithm !== 'RS256' && algorithm !== 'ES256') {
    problems.push(`AUTH_ALGORITHM: must be RS256 or ES256, not ${algorithm}`);
  }
  const settings = {
    host: env.HOST ?? '127.0.0.1',
    port: whole('AUTH_PORT', { least: 0, most: 65_535, usual: 50_053 }),
    usersFile: required('AUTH_USERS', 'a YAML or JSON file of users'),
    stateFile: env.AUTH_STATE || undefined,
    issuer: required('AUTH_ISSUER', 'what tokens say in iss, for example https://auth.example.com'),
    audience: required('AUTH_AUDIENCE', 'what tokens say in aud, for example the name of your API'),
    algorithm: algorithm as Algorithm,
    accessSeconds: whole('AUTH_ACCESS_SECONDS', { least: 30, most: 3_600, usual: 300 }),
    revocationsUrl: env.AUTH_REVOCATIONS_URL || undefined,
  };
  const problem = urlProblem(env.AUTH_REVOCATIONS_URL);
  if (problem !== undefined) problems.push(`AUTH_REVOCATIONS_URL: ${problem}`);
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return settings;
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** Whoever reads what is sent there can revoke tokens for a minute. The value is not repeated: it may hold a password. */
function urlProblem(text: string | undefined): string | undefined {
  if (!text) return undefined;
  if (!URL.canParse(text)) return 'must be an URL such as https://gateway.internal/-/revocations';
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== '' || password !== '') return 'must have no user and password in it';
  if (protocol === 'https:' || (protocol === 'http:' && LOOPBACK.test(hostname))) return undefined;
  return 'must be https, or http on loopback';
}
