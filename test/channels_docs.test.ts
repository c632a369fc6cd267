/** The guide to channels: its configuration is served, its commands answer what it says, and its pages hear what they should. */
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import { EventSource } from 'eventsource';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { loadConfig } from '../gateway/config.js';
import { createGateway } from '../gateway/gateway.js';
import { until } from './support/brokers.js';
import { tokenFor } from './support/gateway.js';
import { ROOT } from './support/probe.js';

const GUIDE = readFileSync(join(ROOT, 'docs/channels.md'), 'utf8');
const run = promisify(execFile);
const HAS_CURL = spawnSync('curl', ['--version']).status === 0;
if (!HAS_CURL) process.stderr.write('the commands of docs/channels.md are skipped: apt-get install curl\n');

interface Block {
  readonly language: string;
  readonly body: string;
}
const BLOCKS: readonly Block[] = [...GUIDE.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(
  ([, language = '', body = '']) => ({ language, body }),
);
const bodies = (language: string) =>
  BLOCKS.filter((block) => block.language === language).map(({ body }) => body);

/** Positions and times are others each time. */
const masked = (json: string): string => json.replace(/"(position|time|joinTime)":"[^"]+"/g, '"$1":"..."');

describe('the guide to channels', () => {
  let port: number;
  beforeAll(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-'));
    const file = join(folder, 'tidegate.yaml');
    writeFileSync(file, bodies('yaml')[0] ?? '');
    const argv = ['--dev', '--port', '0', '--log-level', 'silent', '--drain', '1s', '--config', file];
    const gateway = await createGateway(loadConfig({ argv, env: {} }));
    ({ port } = await gateway.listen());
    return async () => {
      await gateway.close();
      rmSync(folder, { recursive: true });
    };
  });

  /** Runs a script of the guide as a page would, with a token where EventSource has none. Resolves with what it prints. */
  const page = (script: string, token = '') => {
    const printed: unknown[][] = [];
    const sources: EventSource[] = [];
    class Source extends EventSource {
      constructor(url: string) {
        super(url.replace(':8080', `:${port}`), {
          fetch: (input, init) =>
            fetch(input, {
              ...init,
              headers: { ...init.headers, ...(token && { authorization: `Bearer ${token}` }) },
            }),
        });
        sources.push(this);
      }
    }
    const console = { log: (...words: unknown[]) => void printed.push(words) };
    runInNewContext(script, { EventSource: Source, console, JSON });
    onTestFinished(() => {
      for (const source of sources) source.close();
    });
    const opened = () => sources.every(({ readyState }) => readyState === EventSource.OPEN);
    return { printed, opened, close: () => sources.map((source) => source.close()) };
  };

  const [subscribing, joining] = bodies('js') as [string, string];

  test('names every route, and only routes that there are', async () => {
    const proto = readFileSync(join(ROOT, 'proto/tidegate/v1/channels.proto'), 'utf8');
    const declared = [...proto.matchAll(/(?:get|post): "([^"]+)"/g)].map(([, path]) => path);
    const named = [...GUIDE.matchAll(/^\| `[A-Z` or]+ (\/v1\/[^?`]+)/gm)].map(([, path]) => path);
    expect([...new Set(named)].sort()).toEqual([...new Set(declared)].sort());
  });

  test.skipIf(!HAS_CURL)('has commands that answer what it says', async () => {
    const room = page(joining, tokenFor('u1', ['channels:join']));
    const news = page(subscribing);
    await until('the pages are open', () => room.printed.length === 1 && news.opened());
    const env = { PATH: process.env.PATH, TOKEN: tokenFor('u1', ['channels:*']) };
    let checked = 0;
    for (const [index, { language, body }] of BLOCKS.entries()) {
      const answer = BLOCKS[index + 1];
      if (language !== 'sh' || answer?.language !== 'json') continue;
      const script = body
        .replaceAll(':8080', `:${port}`)
        .replace(/$/gm, '')
        .trim()
        .split('\n')
        .join('; echo; ');
      const { stdout } = await run('bash', ['-c', script], { env });
      expect(masked(stdout.trim())).toBe(answer.body.trim());
      checked += 1;
    }
    expect(checked).toBe(bodies('json').length);
    await until('the page has heard all of it', () => news.printed.length === 4);
    expect(news.printed).toEqual([[{ n: 1 }], ['price', { n: 2 }], [3], [[4]]]);
  });

  test('shows a page that sees who comes and goes', async () => {
    const ada = page(joining, tokenFor('ada'));
    await until('ada is there', () => ada.printed.length === 1);
    // Whoever lingers from before may still leave.
    const ofBob = () =>
      ada.printed.flatMap(([word, who]) => {
        const { user } = who as { user?: string };
        return user === 'bob' ? [[word, user]] : [];
      });
    const bob = page(joining, tokenFor('bob'));
    await until('bob is there', () => ofBob().length === 1);
    expect(bob.printed[0]?.[0]).toBe('here are');
    bob.close();
    await until('bob has gone', () => ofBob().length === 2);
    expect(ofBob()).toEqual([
      ['came', 'bob'],
      ['went', 'bob'],
    ]);
  });
});
