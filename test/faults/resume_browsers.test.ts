/** EventSource in real browsers, through nginx, while the gateway behind it is killed, restarted and drained: nothing is lost. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { check } from '../e2e/properties/check.js';
import { PAGE_PREFIX, type PageServer, startPageServer } from '../support/browser_page.js';
import { CHROMIUM, launchChromium } from '../support/chromium.js';
import { createNode, createTickerProcess } from '../support/cluster.js';
import { stop } from '../support/command.js';
import { missingNginx, startNginx } from '../support/nginx.js';
import { missingRedis, startRedis } from '../support/servers.js';
import { tickerPath } from '../support/ticker.js';

const FIREFOX = ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find((path) => existsSync(path));
const missing = [missingNginx(), missingRedis()].filter((name) => name !== undefined);
if (CHROMIUM === undefined) missing.push('chromium');
if (FIREFOX === undefined) missing.push('firefox-esr');
if (missing.length > 0)
  process.stderr.write(`tests of resuming browsers are skipped: apt-get install ${missing.join(' ')}\n`);

/** Runs a browser that shows a page until it is closed. */
interface Window {
  close(): Promise<unknown>;
}

async function openChromium(url: string): Promise<Window> {
  const browser = await launchChromium();
  const page = await browser.newPage();
  await page.goto(url);
  return browser;
}

/** Whatever Firefox wants of the internet goes to a proxy that is not there. */
const FIREFOX_SETTINGS = {
  'network.proxy.type': 1,
  'network.proxy.http': '127.0.0.1',
  'network.proxy.http_port': 9,
  'network.proxy.ssl': '127.0.0.1',
  'network.proxy.ssl_port': 9,
  'network.proxy.no_proxies_on': '127.0.0.1',
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'network.trr.mode': 5,
  'datareporting.policy.dataSubmissionEnabled': false,
  'browser.shell.checkDefaultBrowser': false,
};

/** In a home and a profile of its own, so that it neither reads nor leaves anything. */
async function openFirefox(url: string): Promise<Window> {
  const home = mkdtempSync(join(tmpdir(), 'tidegate-firefox-'));
  const settings = Object.entries(FIREFOX_SETTINGS).map(
    ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`,
  );
  writeFileSync(join(home, 'user.js'), settings.join(''));
  const env = { PATH: process.env.PATH, HOME: home, MOZ_CRASHREPORTER_DISABLE: '1' };
  const child: ChildProcess = spawn(
    FIREFOX as string,
    ['--headless', '--no-remote', '--profile', home, url],
    {
      stdio: 'ignore',
      env,
    },
  );
  return {
    close: async () => {
      await stop(child);
      rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const one of undo.splice(0).reverse()) await one();
});

/** Everything that stands between the service and the browser. */
async function setUp(client: string) {
  const redis = await startRedis();
  undo.push(() => redis.stop());
  const service = await createTickerProcess({ start: Date.now(), rate: 20, count: Number.MAX_SAFE_INTEGER });
  undo.push(() => service.stop());
  await service.start();
  const node = await createNode('the gateway', [
    '--upstream',
    service.address,
    '--broker',
    redis.url,
    '--drain',
    '1s',
  ]);
  undo.push(() => node.stop());
  await node.start();
  const pages = await startPageServer(client, 'tide');
  undo.push(() => pages.close());
  const nginx = await startNginx({ gateways: [node.port], pages: { prefix: PAGE_PREFIX, port: pages.port } });
  undo.push(() => nginx.stop());
  const url = `http://127.0.0.1:${nginx.port}${PAGE_PREFIX}page?path=${tickerPath('Log', 'tide')}`;
  return { node, pages, url };
}

const more = (pages: PageServer, events: number) => {
  const wanted = pages.last() + events;
  return vi.waitFor(() => expect(pages.last()).toBeGreaterThan(wanted), { timeout: 30_000, interval: 50 });
};

describe.skipIf(missing.length > 0).each([
  ['Chromium', openChromium],
  ['Firefox', openFirefox],
] as const)('EventSource in %s', (name, open) => {
  test('goes on without a gap when the gateway behind nginx is killed, and when it is asked to stop', async () => {
    const { node, pages, url } = await setUp(name);
    const window = await open(url);
    undo.push(() => window.close());
    await more(pages, 10);

    await node.kill();
    // While nobody answers: nginx says when to come back.
    await sleep(3000);
    await node.start();
    await more(pages, 10);

    await node.stop();
    await node.start();
    await more(pages, 10);

    expect(pages.gaveUp()).toBe(false);
    const findings = check([pages.history]);
    expect(findings.violations).toEqual([]);
    expect(findings).toMatchObject({ lost: 0, doubled: 0, resets: {} });
    expect(pages.history.happenings.filter(({ kind }) => kind === 'open').length).toBeGreaterThanOrEqual(3);
  }, 90_000);
});
