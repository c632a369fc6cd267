/** The architecture as a test: who may import whom, who may read the environment, how long a file may grow. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

const ROOT = new URL('..', import.meta.url).pathname;
const ROOMS = ['src', 'gateway', 'services', 'gen', 'test'];

interface SourceFile {
  readonly path: string;
  readonly text: string;
  /** Paths of this repository, without extension, or package names. */
  readonly imports: readonly string[];
}

function importsOf(path: string, text: string): string[] {
  const found = [
    ...text.matchAll(/^(?:import|export)\b[^;]*?\bfrom\s+['"]([^'"]+)['"]/gms),
    ...text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g),
  ];
  return found.map(([, target = '']) =>
    target.startsWith('.') ? normalize(join(dirname(path), target)).replace(/\.js$/, '') : target,
  );
}

const files: SourceFile[] = ROOMS.flatMap((room) =>
  readdirSync(join(ROOT, room), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => {
      const path = join(room, name);
      const text = readFileSync(join(ROOT, path), 'utf8');
      return { path, text, imports: importsOf(path, text) };
    }),
);
const under = (...rooms: string[]): SourceFile[] =>
  files.filter(({ path }) => rooms.some((room) => path.startsWith(`${room}/`)));
const isOurs = (target: string): boolean => ROOMS.some((room) => target.startsWith(`${room}/`));

/** Every import of `from` that leads into a room it may not enter, as `file -> target`. */
function trespasses(from: readonly SourceFile[], mayEnter: (target: string) => boolean): string[] {
  return from.flatMap(({ path, imports }) =>
    imports.filter((target) => isOurs(target) && !mayEnter(target)).map((target) => `${path} -> ${target}`),
  );
}

describe('imports run one way', () => {
  test('the call in the middle knows no client protocol', () => {
    expect(trespasses(under('src'), (target) => target.startsWith('src/'))).toEqual([]);
    const protocols = new Set(['express', 'ws', 'better-sse', 'node:http']);
    expect(
      under('src')
        .filter(({ imports }) => imports.some((target) => protocols.has(target)))
        .map(({ path }) => path),
    ).toEqual([]);
  });

  test('the doors stand on the call alone, but for the one file that runs the channels service', () => {
    const call = (target: string) => target.startsWith('gateway/') || target.startsWith('src/');
    const [channels, others] = [under('gateway'), under('gateway')].map((all, index) =>
      all.filter(({ path }) => (path === 'gateway/channels.ts') === (index === 0)),
    ) as [SourceFile[], SourceFile[]];
    expect(trespasses(others, call)).toEqual([]);
    expect(channels).toHaveLength(1);
    expect(trespasses(channels, (target) => call(target) || target.startsWith('services/channels/'))).toEqual(
      [],
    );
  });

  test('the services know their generated stubs alone, and channels the brokers and what a grant is', () => {
    const own = (target: string) => target.startsWith('services/') || target.startsWith('gen/');
    const isChannels = ({ path }: SourceFile) => path.startsWith('services/channels/');
    expect(
      trespasses(
        under('services').filter((file) => !isChannels(file)),
        own,
      ),
    ).toEqual([]);
    const mayEnter = (target: string) =>
      own(target) || target.startsWith('src/broker/') || target === 'src/channel_grant';
    expect(trespasses(under('services').filter(isChannels), mayEnter)).toEqual([]);
  });

  test('generated code stands by itself', () => {
    expect(trespasses(under('gen'), (target) => target.startsWith('gen/'))).toEqual([]);
  });

  test('a door imports no other door, and only the composition root knows them all', () => {
    const door = (path: string): string | undefined =>
      /^gateway\/doors\/(?!door(?:\.|$))([a-z]+)/.exec(path)?.[1];
    const crossing = files
      .filter(({ path }) => !path.startsWith('test/') && path !== 'gateway/gateway.ts')
      .flatMap(({ path, imports }) =>
        imports
          .filter((target) => door(target) !== undefined && door(target) !== door(path))
          .map((target) => `${path} -> ${target}`),
      );
    expect(crossing).toEqual([]);
  });

  test('only the upstream opens connections to services', () => {
    const grpc = under('src', 'gateway').filter(({ imports }) => imports.includes('@grpc/grpc-js'));
    expect(grpc.map(({ path }) => path).filter((path) => !path.startsWith('src/upstream/'))).toEqual([]);
  });

  test('the reader sees what it guards: every room has imports', () => {
    for (const room of ['src', 'gateway', 'services', 'gen']) {
      expect(under(room).flatMap(({ imports }) => imports).length, room).toBeGreaterThan(3);
    }
  });
});

describe('house style', () => {
  const written = files.filter(({ path }) => !path.startsWith('gen/'));

  test('nothing below the configuration reads the environment', () => {
    const allowed = new Set([
      'gateway/main.ts',
      'services/main.ts',
      'services/start.ts',
      'services/channels/main.ts',
      'services/auth/main.ts',
    ]);
    const readers = written.filter(
      ({ path, text }) =>
        !path.startsWith('test/') && /\bprocess\.env\b/.test(text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')),
    );
    expect(readers.map(({ path }) => path).filter((path) => !allowed.has(path))).toEqual([]);
  });

  test('every file says in its first sentence what it is for', () => {
    const silent = written.filter(({ text }) => !/^(#!.*\n)?\/\*\*/.test(text));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  test('no file outgrows what one can hold in the head', () => {
    const long = written.filter(
      ({ path, text }) => !path.startsWith('test/') && text.split('\n').length > 330,
    );
    expect(long.map(({ path, text }) => `${path}: ${text.split('\n').length} lines`)).toEqual([]);
  });

  test('nothing is exported by default', () => {
    const bad = written.filter(({ text }) => /^export default\b/m.test(text));
    expect(bad.map(({ path }) => path)).toEqual([]);
  });
});
