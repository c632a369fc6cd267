/** What a page in a real browser sees: fetch, EventSource and WebSocket against a running gateway. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { CHROMIUM, launchChromium } from '../support/chromium.js';
import { type RunningGateway, startGateway, tokenFor } from '../support/gateway.js';
import { type Probe, startProbe } from '../support/probe.js';

if (CHROMIUM === undefined) process.stderr.write('browser tests are skipped: apt-get install chromium\n');

declare const location: { host: string };
/** Runs in the page, whose globals this project's own types do not have. */
declare const EventSource: new (
  url: string,
) => {
  readyState: number;
  onmessage: (event: { data: string; lastEventId: string }) => void;
  onerror: () => void;
  close(): void;
  addEventListener(name: string, listener: (event: { data?: string }) => void): void;
};
declare const WebSocket: new (
  url: string,
  protocols?: string[],
) => {
  protocol: string;
  onopen: () => void;
  onmessage: (event: { data: string }) => void;
  onclose: (event: { code: number; reason: string }) => void;
  send(text: string): void;
  close(): void;
};

describe.skipIf(CHROMIUM === undefined)('in Chromium', () => {
  let browser: Browser;
  let page: Page;
  let probe: Probe;
  let gateway: RunningGateway;
  beforeAll(async () => {
    probe = await startProbe();
    gateway = await startGateway(probe.address);
    browser = await launchChromium();
    page = await browser.newPage({ bypassCSP: true });
    await page.goto(`http://127.0.0.1:${gateway.port}/healthz`);
  });
  afterAll(async () => {
    await browser?.close();
    await gateway?.close();
    probe?.kill();
  });

  test('fetch gets a reply, and an error as JSON', async () => {
    const token = tokenFor('u1', ['secrets:read']);
    const [secret, refused] = await page.evaluate(async (bearer) => {
      const get = (headers: Record<string, string>) => fetch('/v1/secret/ok', { headers });
      const answers = [await get({ authorization: `Bearer ${bearer}` }), await get({})];
      return Promise.all(
        answers.map(async (answer) => ({ status: answer.status, body: (await answer.json()) as object })),
      );
    }, token);
    expect(secret).toMatchObject({ status: 200, body: { text: 'ok', seen: { 'x-user-id': 'u1' } } });
    expect(refused).toMatchObject({ status: 401, body: { code: 16 } });
  });

  test('an EventSource gets every message and the end, and does not come back after it', async () => {
    const seen = await page.evaluate(
      () =>
        new Promise<{ log: string[]; state: number }>((resolve) => {
          const log: string[] = [];
          const source = new EventSource('/v1/probe/ok:watch');
          source.addEventListener('open', (event) =>
            log.push(event.data === undefined ? 'connected' : 'open'),
          );
          source.onmessage = ({ data }) => log.push((JSON.parse(data) as { sequence: string }).sequence);
          source.addEventListener('end', ({ data }) =>
            log.push(`end ${(JSON.parse(data ?? '') as { code: number }).code}`),
          );
          source.onerror = () => {
            log.push(`state ${source.readyState}`);
            // 2 is CLOSED: it was told to stay away. Else (0) it is coming back.
            if (source.readyState === 2 || log.length > 20) resolve({ log, state: source.readyState });
          };
        }),
    );
    expect(seen.log).toEqual(['connected', 'open', '1', '2', '3', 'end 0', 'state 0', 'state 2']);
    expect(seen.state).toBe(2);
  });

  test('an EventSource that is closed cancels the call of the service', async () => {
    probe.cancelled.length = 0;
    await page.evaluate(
      () =>
        new Promise<void>((resolve) => {
          const source = new EventSource('/v1/probe/open:watch');
          source.onmessage = () => {
            source.close();
            resolve();
          };
        }),
    );
    await vi.waitFor(() => expect(probe.cancelled).toEqual(['open']), { timeout: 1000, interval: 10 });
  });

  test('an EventSource opens on a stream that stays silent, and its heartbeat reaches the network', async () => {
    const opened = await page.evaluate(
      () =>
        new Promise<boolean>((resolve) => {
          const source = new EventSource('/v1/probe/silent:watch');
          source.addEventListener('open', (event) => {
            if (event.data === undefined) return;
            source.close();
            resolve(true);
          });
        }),
    );
    expect(opened).toBe(true);
  });

  test('a WebSocket on a route talks both ways', async () => {
    const log = await page.evaluate(
      () =>
        new Promise<string[]>((resolve) => {
          const got: string[] = [];
          const socket = new WebSocket(`ws://${location.host}/v1/talk/harbour`);
          socket.onopen = () => socket.send('{"sequence":"1"}');
          socket.onmessage = ({ data }) => {
            const { sequence, text } = JSON.parse(data) as { sequence: string; text: string };
            got.push(`${text} ${sequence}`);
            if (got.length < 3) socket.send(JSON.stringify({ sequence: Number(sequence) + 1 }));
            else resolve(got);
          };
          socket.onclose = ({ code, reason }) => resolve([...got, `closed ${code} ${reason}`]);
        }),
    );
    expect(log).toEqual(['harbour 1', 'harbour 2', 'harbour 3']);
  });

  test('a WebSocket carries a bearer token as a subprotocol', async () => {
    const token = Buffer.from(tokenFor('u7', ['secrets:read'])).toString('base64url');
    const log = await page.evaluate(
      (bearer) =>
        new Promise<string[]>((resolve) => {
          const got: string[] = [];
          const socket = new WebSocket(`ws://${location.host}/ws`, ['tidegate.v1.json', `bearer.${bearer}`]);
          socket.onopen = () => {
            got.push(socket.protocol);
            socket.send('{"type":"hello"}');
            socket.send('{"type":"open","sid":1,"route":"GET /v1/secret/ok"}');
            socket.send('{"type":"open","sid":2,"route":"GET /v1/probe/fail"}');
          };
          socket.onmessage = ({ data }) => {
            for (const line of data.split('\n')) {
              const frame = JSON.parse(line) as {
                type: string;
                sid: number;
                data?: { text: string };
                status?: { code: number };
              };
              if (frame.type === 'msg') got.push(`${frame.sid} ${frame.data?.text}`);
              if (frame.type === 'end') got.push(`${frame.sid} ended ${frame.status?.code}`);
            }
            if (got.filter((line) => line.includes('ended')).length === 2) resolve(got);
          };
          socket.onclose = ({ code, reason }) => resolve([...got, `closed ${code} ${reason}`]);
        }),
      token,
    );
    expect(log[0]).toBe('tidegate.v1.json');
    expect(log.slice(1).sort()).toEqual(['1 ended 0', '1 ok', '2 ended 9']);
  });

  test('a page of another origin cannot open a WebSocket', async () => {
    const other = await startGateway(probe.address);
    try {
      const code = await page.evaluate(
        (port) =>
          new Promise<number>((resolve) => {
            const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/talk/a`);
            socket.onopen = () => resolve(0);
            socket.onclose = (event) => resolve(event.code);
          }),
        other.port,
      );
      expect(code).toBe(1006);
    } finally {
      await other.close();
    }
  });
});
