/** The admin pages over real HTTP, and what the metrics say. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Registry } from 'prom-client';
import { afterEach, describe, expect, it } from 'vitest';
import { createAdmin, type Readiness } from '../gateway/admin/admin.js';
import { createMetrics, type Metrics } from '../gateway/admin/metrics.js';
import { OWN_PATHS } from '../gateway/http/own_paths.js';
import type { Call } from '../src/call.js';
import type { CallEnd } from '../src/policy/observe.js';
import { Code } from '../src/status.js';

const open: Server[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function serve(options: { registry?: Registry; readiness?: () => Readiness } = {}): Promise<string> {
  const { handle } = createAdmin({
    registry: options.registry ?? new Registry(),
    readiness: options.readiness ?? (() => ({ ready: true, detail: { draining: false } })),
  });
  const server = createServer(handle);
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('admin', () => {
  it('knows the paths that are its own', () => {
    const { paths } = createAdmin({
      registry: new Registry(),
      readiness: () => ({ ready: true, detail: {} }),
    });
    expect([...paths]).toEqual(['/healthz', '/readyz', '/metrics']);
  });

  it('is healthy while it answers', async () => {
    const response = await fetch(`${await serve()}/healthz?probe=1`);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'ok' });
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('x-powered-by')).toBeNull();
  });

  it('says whether it is ready, and why not', async () => {
    let ready = true;
    const readiness = () => ({ ready, detail: { draining: !ready, upstreams: { u1: 'ready' } } });
    const url = `${await serve({ readiness })}/readyz`;
    const first = await fetch(url);
    expect([first.status, await first.json()]).toEqual([
      200,
      { ready, draining: false, upstreams: { u1: 'ready' } },
    ]);
    ready = false;
    const second = await fetch(url);
    expect([second.status, await second.json()]).toEqual([
      503,
      { ready, draining: true, upstreams: { u1: 'ready' } },
    ]);
  });

  it('answers HEAD without a body, and other methods with 405', async () => {
    const base = await serve();
    const head = await fetch(`${base}/metrics`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    const post = await fetch(`${base}/healthz`, { method: 'POST', body: 'x' });
    expect(post.status).toBe(405);
    expect(post.headers.get('allow')).toBe('GET, HEAD');
    expect(await post.json()).toMatchObject({
      code: 12,
      message: 'POST is not allowed here; allowed: GET, HEAD',
    });
  });

  it('shows nothing of its insides when it fails', async () => {
    const readiness = () => {
      throw new Error('secret place /etc/x');
    };
    const response = await fetch(`${await serve({ readiness })}/readyz`);
    expect(response.status).toBe(500);
    expect(await response.text()).toBe('{"code":13,"message":"internal error","details":[]}');
  });

  it('serves the metrics in the text format of Prometheus', async () => {
    const { registry } = createMetrics();
    const response = await fetch(`${await serve({ registry })}/metrics`);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = await response.text();
    expect(text).toContain('process_cpu_user_seconds_total');
    expect(text).toContain('# TYPE tidegate_calls_total counter');
  });
});

describe('metrics', () => {
  const callOf = (name: string, streams = {}) =>
    ({ method: { name, clientStreaming: false, serverStreaming: false, ...streams } }) as Call;
  const endOf = (code: Code, more: Partial<CallEnd> = {}): CallEnd => ({
    code,
    error: undefined,
    durationMs: 3,
    acceptedMs: 1,
    messagesIn: 1,
    messagesOut: 1,
    ...more,
  });
  const samples = async (metrics: Metrics, name: string) =>
    (await metrics.registry.getSingleMetricAsString(name))
      .split('\n')
      .filter((line) => !line.startsWith('#'));

  it('count who came back, who was reset, and whom the gateway sent away', async () => {
    const { registry, streams } = createMetrics();
    streams.resumed('sse', true);
    streams.resumed('sse', true);
    streams.resumed('poll', false);
    streams.reset('ws', 'history_truncated');
    streams.left('ws', 'drain');
    const text = await registry.metrics();
    expect(text).toContain('tidegate_stream_resumes_total{door="sse",result="resumed"} 2');
    expect(text).toContain('tidegate_stream_resumes_total{door="poll",result="reset"} 1');
    expect(text).toContain('tidegate_stream_resets_total{door="ws",reason="history_truncated"} 1');
    expect(text).toContain('tidegate_connections_ended_total{door="ws",reason="drain"} 1');
  });

  it('count calls by method and code, and those that still run', async () => {
    const metrics = createMetrics();
    const calls = [1, 2, 3, 4].map(() => metrics.observer.start(callOf('a.A/Get')));
    calls[0]?.end(endOf(Code.OK));
    calls[1]?.end(endOf(Code.OK));
    calls[2]?.end(endOf(Code.NOT_FOUND));
    const expected = [
      'tidegate_calls_total{method="a.A/Get",code="OK"} 2',
      'tidegate_calls_total{method="a.A/Get",code="NOT_FOUND"} 1',
    ];
    expect(await samples(metrics, 'tidegate_calls_total')).toEqual(expected);
    expect(await samples(metrics, 'tidegate_calls_total')).toEqual(expected);
    expect(await samples(metrics, 'tidegate_calls_active')).toEqual([
      'tidegate_calls_active{method="a.A/Get"} 1',
    ]);
  });

  it('measure how long calls take', async () => {
    const metrics = createMetrics();
    metrics.observer.start(callOf('a.A/Get')).end(endOf(Code.OK, { durationMs: 3 }));
    const lines = await samples(metrics, 'tidegate_call_seconds');
    expect(lines).toContain('tidegate_call_seconds_bucket{le="0.0025",method="a.A/Get"} 0');
    expect(lines).toContain('tidegate_call_seconds_bucket{le="0.005",method="a.A/Get"} 1');
    expect(lines).toContain('tidegate_call_seconds_count{method="a.A/Get"} 1');
  });

  it('count the messages of streams, each direction by itself', async () => {
    const metrics = createMetrics();
    const end = endOf(Code.OK, { messagesIn: 5, messagesOut: 7 });
    metrics.observer.start(callOf('a.A/Watch', { serverStreaming: true })).end(end);
    metrics.observer.start(callOf('a.A/Upload', { clientStreaming: true })).end(end);
    metrics.observer.start(callOf('a.A/Get')).end(end);
    expect(await samples(metrics, 'tidegate_stream_messages_total')).toEqual([
      'tidegate_stream_messages_total{method="a.A/Watch",direction="out"} 7',
      'tidegate_stream_messages_total{method="a.A/Upload",direction="in"} 5',
    ]);
  });

  it('count requests, connections and refusals', async () => {
    const metrics = createMetrics();
    metrics.request('rest', 200);
    metrics.request('rest', 200);
    metrics.request('sse', 401);
    const close = metrics.connection('ws');
    metrics.connection('ws');
    close();
    metrics.refused('token');
    expect(await samples(metrics, 'tidegate_http_requests_total')).toEqual([
      'tidegate_http_requests_total{door="rest",status="200"} 2',
      'tidegate_http_requests_total{door="sse",status="401"} 1',
    ]);
    expect(await samples(metrics, 'tidegate_connections')).toEqual(['tidegate_connections{door="ws"} 1']);
    expect(await samples(metrics, 'tidegate_refused_total')).toEqual([
      'tidegate_refused_total{reason="token"} 1',
    ]);
  });

  it('belong to one gateway each', async () => {
    const [one, two] = [createMetrics(), createMetrics()];
    one.request('rest', 200);
    expect(await samples(two, 'tidegate_http_requests_total')).toEqual([]);
  });
});

it('the pages are among the paths that no contract may use', () => {
  const { paths } = createAdmin({ registry: new Registry(), readiness: () => ({ ready: true, detail: {} }) });
  expect([...paths].filter((path) => !OWN_PATHS.has(path))).toEqual([]);
});
