/** Which upstream serves which service. */
import type { ContractProblem } from './contract.js';

export interface ContractUpstream {
  readonly name: string;
  /** Full names of services, or prefixes ending in `.`, that it serves. Empty: what no other upstream claims. */
  readonly services: readonly string[];
}

export interface Assignment {
  readonly upstreams: readonly ContractUpstream[];
  /** Services with the upstreams that listed them by reflection; for the others, any upstream may serve them. */
  readonly services: ReadonlyMap<string, readonly string[]>;
}

/** Whether an upstream names this service as its own. */
export function claims(upstream: ContractUpstream, service: string): boolean {
  return claimLength(upstream, service) > 0;
}

/** How exactly it names the service: the length of its longest claim that fits, 0 for none. */
function claimLength({ services }: ContractUpstream, service: string): number {
  const fitting = services.filter((claim) =>
    claim.endsWith('.') ? service.startsWith(claim) : service === claim,
  );
  return Math.max(0, ...fitting.map(({ length }) => length));
}

/** Those that name the service most exactly; if none does, those that claim nothing in particular. */
function takersOf(service: string, able: readonly ContractUpstream[]): readonly ContractUpstream[] {
  const longest = Math.max(...able.map((upstream) => claimLength(upstream, service)));
  if (longest > 0) return able.filter((upstream) => claimLength(upstream, service) === longest);
  return able.filter((upstream) => upstream.services.length === 0);
}

/**
 * The name of the upstream of each service: the one with the longest claim, else the one that claims nothing. With no
 * upstream at all (a contract that is only looked at), the names are empty.
 */
export function assignUpstreams(
  { upstreams, services }: Assignment,
  problems: ContractProblem[],
): ReadonlyMap<string, string> {
  const assigned = new Map<string, string>();
  for (const [service, listedBy] of services) {
    const able = listedBy.length === 0 ? upstreams : upstreams.filter(({ name }) => listedBy.includes(name));
    const takers = takersOf(service, able);
    const [first, second] = takers;
    if (second) problems.push({ problem: twice(service, takers) });
    else if (!first && upstreams.length > 0) problems.push({ problem: unclaimed(service) });
    assigned.set(service, first?.name ?? '');
  }
  for (const upstream of upstreams) problems.push(...idleClaims(upstream, [...services.keys()]));
  return assigned;
}

function twice(service: string, takers: readonly ContractUpstream[]): string {
  const names = takers.map(({ name }) => name).join(' and ');
  return `service ${service} would be served by ${names}: give it to one of them with --upstream ${service}=ADDRESS`;
}

function unclaimed(service: string): string {
  const prefix = service.slice(0, service.lastIndexOf('.') + 1) || service;
  return `service ${service} has no upstream: say where it is with --upstream ${prefix}=ADDRESS`;
}

/** A claim that matches nothing is a slip of the pen, most often a prefix without its dot. */
function idleClaims(upstream: ContractUpstream, services: readonly string[]): ContractProblem[] {
  return upstream.services.flatMap((claim) => {
    if (services.some((service) => claims({ name: upstream.name, services: [claim] }, service))) return [];
    const meant = services.some((service) => service.startsWith(`${claim}.`)) ? `; is ${claim}. meant?` : '';
    return [
      { problem: `upstream ${upstream.name} claims ${claim}, which is no service of the contract${meant}` },
    ];
  });
}
