/**
 * What routing a path costs with 10, 100, 1,000 and 10,000 routes: `npm run bench:routing`.
 *
 * Every table is asked for the same number of different paths, each a string of its own as requests bring them, in the
 * same order. `spread` asks for all routes alike, which no cache of the processor likes; `hot` for ten of them, which is
 * what traffic looks like. Tables take turns, and the best of many rounds counts, so that a busy machine spoils none alone.
 */
import { createRouter, type Route } from '../../gateway/http/router.js';
import type { Endpoint } from '../../gateway/http/table.js';
import { parseTemplate } from '../../gateway/http/template.js';

const SIZES = [10, 100, 1000, 10_000];
const PATHS = 20_000;
const ROUNDS = 40;

interface Shape {
  readonly name: string;
  /** The template of route `index`, and a path that reaches it. */
  readonly template: (index: number) => string;
  readonly path: (index: number, id: number) => string;
}

const SHAPES: readonly Shape[] = [
  {
    name: 'services of ten resources: /v1/serviceN/resourceN/{id}',
    template: (index) => `GET /v1/service${Math.floor(index / 10)}/resource${index % 10}/{id}`,
    path: (index, id) => `/v1/service${Math.floor(index / 10)}/resource${index % 10}/ord_${id}`,
  },
  {
    name: 'one flat list: /v1/resourceN/{id}',
    template: (index) => `GET /v1/resource${index}/{id}`,
    path: (index, id) => `/v1/resource${index}/ord_${id}`,
  },
  {
    name: 'verbs: /v1/resourceN/{id}:verbN',
    template: (index) => `POST /v1/resource${Math.floor(index / 10)}/{id}:verb${index % 10}`,
    path: (index, id) => `/v1/resource${Math.floor(index / 10)}/ord_${id}:verb${index % 10}`,
  },
];

function route(text: string): Route {
  const [verb = '', template = ''] = text.split(' ');
  const method = {
    name: text,
    clientStreaming: false,
    serverStreaming: false,
    source: { file: 'bench.proto' },
  };
  const endpoint = { method, rule: { verb, template, body: '', responseBody: '' } } as unknown as Endpoint;
  return { endpoint, template: parseTemplate(template) };
}

interface Contestant {
  readonly run: () => number;
  best: number;
}

/** Paths to `used` of `size` routes. Multiplying by a prime visits them in an order that no prefetcher guesses. */
function pathsOf(shape: Shape, size: number, used: number): string[] {
  return Array.from({ length: PATHS }, (_, n) =>
    Buffer.from(shape.path(((n * 7919) % used) * (size / used), n)).toString('latin1'),
  );
}

/** A run answers how many of its paths were found, so that nothing of it can be left out. */
function contestant(shape: Shape, size: number, used: number): Contestant {
  const router = createRouter(Array.from({ length: size }, (_, index) => route(shape.template(index))));
  const verb = shape.template(0).split(' ')[0] as string;
  const paths = pathsOf(shape, size, used);
  const run = (): number => {
    let found = 0;
    for (const path of paths) if (router.match(verb, path) !== undefined) found++;
    return found;
  };
  return { run, best: Number.POSITIVE_INFINITY };
}

/** The least that a lookup can be: what is before the last slash, in one Map whose keys are strings of their own. */
function oneMap(shape: Shape, size: number): Contestant {
  const paths = pathsOf(shape, size, size);
  const prefix = (path: string): string => path.slice(0, path.lastIndexOf('/'));
  const keys = new Set(pathsOf(shape, size, size).map(prefix));
  const map = new Map([...keys].map((key) => [Buffer.from(key).toString('latin1'), {}]));
  const run = (): number => {
    let found = 0;
    for (const path of paths) if (map.get(prefix(path)) !== undefined) found++;
    return found;
  };
  return { run, best: Number.POSITIVE_INFINITY };
}

/** Microseconds per path for each size. */
function race(contestants: readonly Contestant[]): number[] {
  for (let round = -3; round < ROUNDS; round++) {
    for (const each of contestants) {
      const started = process.hrtime.bigint();
      if (each.run() !== PATHS) throw new Error('a path was not found');
      const micros = Number(process.hrtime.bigint() - started) / 1000 / PATHS;
      if (round >= 0) each.best = Math.min(each.best, micros);
    }
  }
  return contestants.map(({ best }) => best);
}

function print(name: string, micros: readonly number[]): void {
  const [first = 0] = micros;
  const cells = micros.map((us) => `${us.toFixed(2)} us (${(us / first).toFixed(2)} x)`.padStart(18));
  process.stdout.write(`  ${name.padEnd(8)}${cells.join('')}\n`);
}

process.stdout.write(`node ${process.version}; us per path, and ratio to ${SIZES[0]} routes\n`);
for (const shape of SHAPES) {
  process.stdout.write(
    `${shape.name}\n  ${'routes'.padEnd(8)}${SIZES.map((size) => String(size).padStart(18)).join('')}\n`,
  );
  print('hot', race(SIZES.map((size) => contestant(shape, size, 10))));
  print('spread', race(SIZES.map((size) => contestant(shape, size, size))));
  print('one Map', race(SIZES.map((size) => oneMap(shape, size))));
}
