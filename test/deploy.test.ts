/** The container setup, as far as it can be judged without a container engine: it agrees with the code it runs. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { KEY_SETTINGS, SETTINGS } from '../gateway/config/settings.js';
import { ROOT } from './support/probe.js';

interface Container {
  readonly build?: { readonly dockerfile: string; readonly target: string };
  readonly environment?: Readonly<Record<string, string>>;
  readonly depends_on?: Readonly<Record<string, unknown>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly ports?: readonly string[];
}

const read = (path: string) => readFileSync(`${ROOT}${path}`, 'utf8');
const { services } = parse(read('docker-compose.yml')) as { services: Record<string, Container> };
const dockerfile = read('deploy/Dockerfile');

test('there are a gateway, services and redis, each with a health check', () => {
  expect(Object.keys(services)).toEqual(['gateway', 'services', 'redis']);
  for (const [name, { healthcheck, depends_on = {} }] of Object.entries(services)) {
    expect(healthcheck?.test[0], name).toBe('CMD');
    for (const other of Object.keys(depends_on)) expect(services).toHaveProperty(other);
  }
});

test('the images are stages of the Dockerfile, which copies and runs only what there is', () => {
  for (const { build } of Object.values(services)) {
    if (!build) continue;
    expect(build.dockerfile).toBe('deploy/Dockerfile');
    expect(dockerfile).toMatch(new RegExp(`^FROM .* AS ${build.target}$`, 'm'));
  }
  const programs = [...`${dockerfile}${read('docker-compose.yml')}`.matchAll(/dist\/[\w/]+\.js/g)].map(
    ([path]) => path,
  );
  expect(programs.length).toBeGreaterThan(2);
  for (const path of programs) expect(existsSync(`${ROOT}${path}`), path).toBe(true);
  for (const [path] of dockerfile.matchAll(/gen\/\w+\.binpb/g))
    expect(existsSync(`${ROOT}${path}`), path).toBe(true);
});

test('the gateway knows every variable that it is given', () => {
  const known = [...SETTINGS.flatMap(({ env }) => env), ...KEY_SETTINGS.map(({ variable }) => variable)];
  for (const name of Object.keys(services.gateway?.environment ?? {})) expect(known).toContain(name);
});

test('the secret has no default, and only the gateway can be reached from outside', () => {
  expect(services.gateway?.environment?.TIDEGATE_JWT_SECRET).toMatch(/^\$\{TIDEGATE_SECRET:\?.+\}$/);
  expect(services.services?.ports ?? services.redis?.ports).toBeUndefined();
});
