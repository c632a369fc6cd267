/** What is wrong with settings that are right each by itself. */
import { isIP } from 'node:net';
import type { Config, LoadOptions } from '../config.js';
import type { Environment, Merged } from './sources.js';

/** Whether only programs on this machine can reach a listener on this address. */
export function isLoopback(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith('127.');
  return host === 'localhost' || host === '::1';
}

export function hostProblems({ dev, host }: Config, env: Environment, { placeOf }: Merged): string[] {
  if (!dev) return [];
  const problems: string[] = [];
  if (!isLoopback(host)) {
    problems.push(
      `${placeOf(['host'])}: with --dev expected 127.0.0.1, ::1 or localhost, not '${host}': development tokens are public`,
    );
  }
  if (env.NODE_ENV === 'production') {
    problems.push(`${placeOf(['dev'])}: refused with NODE_ENV=production: development tokens are public`);
  }
  return problems;
}

/** What is captured has to go somewhere. */
export function captureProblems({ http, routes }: Config, { placeOf }: Merged): string[] {
  const captures = [http, ...routes].some(({ unknownParameters }) => unknownParameters === 'capture');
  if (!captures || http.captureInto !== '') return [];
  return [
    `${placeOf(['http', 'captureInto'])}: expected the proto name of a field, since unknownParameters is capture`,
  ];
}

/** With both, every page on the web could act as whoever is logged in; browsers refuse the combination (Fetch, 3.3.5). */
export function corsProblems({ origins, cors }: Config, { placeOf }: Merged): string[] {
  if (!cors.credentials || !origins.includes('*')) return [];
  return [`${placeOf(['cors', 'credentials'])}: not together with the origin *; name the origins`];
}

export function upstreamProblems(
  { upstreams, contract, channels }: Config,
  need: NonNullable<LoadOptions['upstreams']>,
  { placeOf }: Merged,
): string[] {
  const described = contract.protos.length + contract.descriptors.length > 0;
  const isNeeded = need === 'required' || (need === 'for-reflection' && !described);
  // Channels need nobody behind them; a contract in files does.
  if (upstreams.length === 0 && isNeeded && !(channels && !described)) {
    return [
      'upstreams: expected at least one: --upstream HOST:PORT, TIDEGATE_UPSTREAMS, or upstreams in the --config file; or --channels',
    ];
  }
  const problems: string[] = [];
  const names = new Set<string>();
  for (const [index, { name }] of upstreams.entries()) {
    if (names.has(name) || (channels && name === 'channels'))
      problems.push(`${placeOf(['upstreams', index])}: the name '${name}' is taken by another upstream`);
    names.add(name);
  }
  const claimsRest = upstreams.filter(({ services }) => services.length === 0);
  if (described && claimsRest.length > 1) {
    const addresses = claimsRest.map(({ address }) => address).join(' and ');
    problems.push(
      `${placeOf(['upstreams'])}: ${addresses} both claim every service; say which serves what: --upstream PREFIX=HOST:PORT`,
    );
  }
  return problems;
}
