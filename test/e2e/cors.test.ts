/** CORS as a real browser enforces it: pages of two origins, one allowed, before one gateway. */

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHROMIUM, launchChromium } from '../support/chromium.js';
import { type RunningGateway, tokenFor } from '../support/gateway.js';
import { startTeller, startTellerGateway, type Teller } from '../support/teller.js';

if (CHROMIUM === undefined)
  process.stderr.write('CORS in a browser is not tested: apt-get install chromium\n');

/** Runs in the page, whose globals this project's own types do not have. */
declare const EventSource: new (
  url: string,
  init: { withCredentials: boolean },
) => {
  onmessage: (event: { data: string }) => void;
  onerror: () => void;
  close(): void;
  addEventListener(name: string, listener: (event: { data: string }) => void): void;
};

/** An empty page. Another port is another origin, but the same site: cookies are the same for all of them. */
async function startPages(): Promise<Server> {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>page</title>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

const originOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

describe.skipIf(CHROMIUM === undefined)('in Chromium', () => {
  let teller: Teller;
  let gateway: RunningGateway;
  let base: string;
  const pages: Server[] = [];
  let browser: Browser;
  let context: BrowserContext;
  let allowed: Page;
  let refused: Page;
  beforeAll(async () => {
    teller = await startTeller();
    pages.push(await startPages(), await startPages());
    const [first, second] = pages.map(originOf) as [string, string];
    gateway = await startTellerGateway(teller, [
      '--origin',
      first,
      '--cors-credentials',
      '--cors-allow-header',
      'x-tenant',
    ]);
    base = `http://127.0.0.1:${gateway.port}`;
    browser = await launchChromium();
    context = await browser.newContext();
    await context.addCookies([{ name: 'session', value: 's1', url: base }]);
    allowed = await context.newPage();
    refused = await context.newPage();
    await allowed.goto(first);
    await refused.goto(second);
  });
  afterAll(async () => {
    await browser?.close();
    await gateway?.close();
    for (const page of pages) page.close();
    await teller?.server.stop();
  });

  /** What a page gets: status, readable header names and body, or the name of what its fetch throws. */
  const fetchFrom = (page: Page, path: string, init: object) =>
    page.evaluate(
      async ([url, given]) => {
        try {
          const answer = await fetch(url as string, given as RequestInit);
          const names: string[] = [];
          answer.headers.forEach((_value, name) => {
            names.push(name);
          });
          return { status: answer.status, names, body: await answer.text() };
        } catch (thrown) {
          return { thrown: (thrown as Error).name };
        }
      },
      [`${base}${path}`, init] as const,
    );

  const WITH_ALL = {
    credentials: 'include',
    headers: { 'x-tenant': 't1', authorization: `Bearer ${tokenFor('u1', ['secrets:*'])}` },
  };

  test('an allowed page sends cookies and its own header, and reads every header of the answer', async () => {
    teller.telling = { headers: { 'x-a': '1' }, trailers: { 'x-b': '2' } };
    const answer = await fetchFrom(allowed, '/v1/secret', WITH_ALL);
    expect(answer).toMatchObject({ status: 200, body: '{"text":"hi"}' });
    expect(answer.names).toEqual(
      expect.arrayContaining(['x-a', 'x-b', 'x-request-id', 'content-type', 'date']),
    );
    expect(teller.seen).toMatchObject({ cookie: 'session=s1', 'x-tenant': 't1', 'x-user-id': 'u1' });
  });

  test('an allowed page reads an error, and what it is to do about it', async () => {
    const answer = await fetchFrom(allowed, '/v1/secret', { credentials: 'include' });
    expect(answer).toMatchObject({ status: 401, body: expect.stringContaining('a token is required') });
    expect(answer.names).toContain('www-authenticate');
  });

  test('an allowed page may use the methods that the path serves, and no others', async () => {
    const post = { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } };
    expect(await fetchFrom(allowed, '/v1/tell', post)).toMatchObject({ status: 200 });
    expect(await fetchFrom(allowed, '/v1/tell', { method: 'DELETE' })).toEqual({ thrown: 'TypeError' });
  });

  test('an allowed page may not send a header that the configuration does not allow', async () => {
    const headers = { 'x-other': '1' };
    expect(await fetchFrom(allowed, '/v1/tell', { headers })).toEqual({ thrown: 'TypeError' });
  });

  test('a page of another origin reads nothing, and its preflight lets nothing through', async () => {
    expect(await fetchFrom(refused, '/v1/tell', {})).toEqual({ thrown: 'TypeError' });
    teller.seen = {};
    expect(await fetchFrom(refused, '/v1/secret', WITH_ALL)).toEqual({ thrown: 'TypeError' });
    expect(teller.seen).toEqual({});
  });

  const listenFrom = (page: Page, withCredentials: boolean) =>
    page.evaluate(
      ([url, credentials]) =>
        new Promise<string[]>((resolve) => {
          const log: string[] = [];
          const source = new EventSource(url, { withCredentials: credentials });
          source.onmessage = ({ data }) => log.push(data);
          source.addEventListener('end', ({ data }) => {
            source.close();
            resolve([...log, data]);
          });
          source.onerror = () => {
            source.close();
            resolve([...log, 'error']);
          };
        }),
      [`${base}/v1/tell:on`, withCredentials] as const,
    );

  test('an EventSource with credentials of an allowed page gets its events; of another, an error', async () => {
    teller.telling = { texts: ['a', 'b'] };
    const end = '{"code":0,"message":"","details":[]}';
    expect(await listenFrom(allowed, true)).toEqual(['{"text":"a"}', '{"text":"b"}', end]);
    expect(teller.seen.cookie).toBe('session=s1');
    expect(await listenFrom(refused, true)).toEqual(['error']);
    expect(await listenFrom(refused, false)).toEqual(['error']);
  });

  test('one list of origins is for WebSockets too', async () => {
    const open = (page: Page) =>
      page.evaluate(
        (url) =>
          new Promise<string>((resolve) => {
            const socket = new WebSocket(url);
            socket.onmessage = ({ data }) => resolve(String(data));
            socket.onclose = ({ code }) => resolve(`closed ${code}`);
          }),
        `${base.replace('http', 'ws')}/v1/tell:on`,
      );
    teller.telling = { texts: ['a'] };
    expect([await open(allowed), await open(refused)]).toEqual(['{"text":"a"}', 'closed 1006']);
  });
});
