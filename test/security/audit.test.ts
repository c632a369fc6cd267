/** The audit log: a line for each decision, with who, what and why; and no log that ever holds a token or a secret. */
import { spawn } from 'node:child_process';
import { readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import jwt from 'jsonwebtoken';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { DEVELOPMENT_SECRET } from '../../gateway/config.js';
import { type Guarded, startGuarded } from '../support/access.js';
import { MAIN, stop } from '../support/command.js';
import { DOORS } from '../support/door_clients.js';
import { OWNED_PROTO, startOwned } from '../support/owned.js';
import { freePort } from '../support/probe.js';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function guarded(yaml: string): Promise<Guarded> {
  const guard = await startGuarded(yaml);
  closing.push(guard.close);
  return guard;
}

const sign = (claims: object, secret = DEVELOPMENT_SECRET) =>
  jwt.sign({ sub: 'ann', exp: Math.floor(Date.now() / 1000) + 3600, ...claims }, secret);

type Line = Record<string, unknown>;
const linesIn = (path: string): Line[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
const soon = { timeout: 10_000, interval: 20 };

describe('the audit log', () => {
  test('has a line for each refusal: who, what, why, from where and through which door', async () => {
    const guard = await guarded('audit: { file: FOLDER/audit.log }\ntrustedHops: 1');
    const path = join(guard.folder, 'audit.log');
    const token = sign({ iss: 'https://id.example', jti: 't-1' });
    const id = { 'x-request-id': 'r-1', 'x-forwarded-for': '203.0.113.9' };
    await guard.ask('/v1/customers/bob', { token, headers: id });
    await guard.ask('/v1/customers/ann', { token, headers: id });
    await guard.ask('/v1/customers/ann', { headers: { accept: 'text/event-stream' } });
    await guard.ask('/v1/customers/ann', { token: sign({}, 'another secret that is long enough for HS256') });
    await vi.waitFor(() => expect(linesIn(path)).toHaveLength(3), soon);
    expect(linesIn(path)).toEqual([
      {
        log: 'audit',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) as string,
        decision: 'denied',
        reason: 'resource_mismatch',
        id: 'r-1',
        door: 'rest',
        address: '203.0.113.9',
        method: 'owned.v1.OwnedService/Get',
        subject: 'ann',
        issuer: 'https://id.example',
        tokenId: 't-1',
        code: 'PERMISSION_DENIED',
        message: "field customer_id must be the token's claim sub",
      },
      expect.objectContaining({ reason: 'token_required', door: 'rest', code: 'UNAUTHENTICATED' }) as Line,
      expect.objectContaining({
        reason: 'token_invalid',
        address: '127.0.0.1',
        method: 'owned.v1.OwnedService/Get',
        message: 'token signature is not valid',
      }) as Line,
    ]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const { text } = await guard.ask('/metrics');
    expect(text).toContain('tidegate_access_denied_total{reason="resource_mismatch"} 1');
    expect(text).toContain('tidegate_access_denied_total{reason="token_invalid"} 1');
  });

  test('has those that are allowed too, when it is told to, once for each call and door', async () => {
    const guard = await guarded('audit: { file: FOLDER/audit.log, allowed: true }');
    const path = join(guard.folder, 'audit.log');
    const token = sign({});
    for (const { open } of DOORS) await open(guard.port, '/v1/customers/ann', { token }).outcome;
    await vi.waitFor(() => expect(linesIn(path)).toHaveLength(DOORS.length), soon);
    const lines = linesIn(path);
    for (const line of lines) expect(line).toMatchObject({ decision: 'allowed', subject: 'ann' });
    expect(new Set(lines.map(({ door }) => door))).toEqual(new Set(['rest', 'sse', 'ws']));
  });

  test('is opened anew after it was moved away, and loses nothing of what is written meanwhile', async () => {
    const guard = await guarded('audit: { file: FOLDER/audit.log }');
    const path = join(guard.folder, 'audit.log');
    await guard.ask('/v1/customers/ann');
    await vi.waitFor(() => expect(linesIn(path)).toHaveLength(1), soon);
    renameSync(path, `${path}.1`);
    await guard.ask('/v1/customers/ann');
    await vi.waitFor(() => expect(linesIn(`${path}.1`)).toHaveLength(2), soon);
    await guard.gateway.reload('signal');
    await guard.ask('/v1/customers/ann');
    await vi.waitFor(() => expect(linesIn(path)).toHaveLength(1), soon);
    expect(linesIn(`${path}.1`)).toHaveLength(2);
  });

  test('that cannot be written keeps the gateway from starting', async () => {
    await expect(startGuarded('audit: { file: FOLDER/none/audit.log }')).rejects.toThrow(
      /^audit\.file: cannot write .*audit\.log: no such file$/,
    );
  });
});

test('no log of a whole run holds a token or a secret, through any door, however it was sent', async () => {
  const service = await startOwned();
  closing.push(async () => service.kill());
  const secret = 'the-secret-of-this-run-that-must-not-be-seen';
  const env = {
    ...process.env,
    TIDEGATE_JWT_SECRET: secret,
    TIDEGATE_STREAM_SECRET: `${secret}-for-cursors`,
  };
  const port = await freePort();
  const args = [
    ...[
      MAIN,
      'serve',
      '--host',
      '127.0.0.1',
      '--port',
      `${port}`,
      '--log-level',
      'trace',
      '--drain',
      '200ms',
    ],
    ...['--proto', OWNED_PROTO, '--upstream', service.address, '--audit-file', '-', '--audit-allowed'],
  ];
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let logged = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      logged += text;
    });
  closing.push(() => stop(child));
  await vi.waitFor(async () => expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200), {
    timeout: 30_000,
    interval: 100,
  });

  const tokens = {
    good: sign({}, secret),
    permitted: sign({ permissions: ['orders:any'] }, secret),
    expired: sign({ exp: 1_000 }, secret),
    forged: sign({}, 'another secret that is long enough for HS256'),
    malformed: 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.not-a-signature-but-a-secret',
    opaque: 'opaque-credential-0123456789abcdef',
  };
  for (const token of Object.values(tokens)) {
    for (const { open } of DOORS)
      for (const path of ['/v1/customers/ann', '/v1/customers/bob'])
        await open(port, path, { token }).outcome;
    const offered = `bearer.${Buffer.from(token).toString('base64url')}`;
    await closed(new WebSocket(`ws://127.0.0.1:${port}/ws`, ['tidegate.v1.json', offered]), token);
    const base = `http://127.0.0.1:${port}/v1/customers/ann`;
    await fetch(base, { headers: { authorization: token } });
    await fetch(base, { headers: { authorization: `Basic ${token}` } });
    await fetch(base, { headers: { cookie: `token=${token}`, 'x-api-key': token } });
    await fetch(`${base}?access_token=${token}`);
    await fetch(`${base}/orders/1?token=${token}`, { headers: { authorization: `Bearer ${tokens.good}` } });
  }
  await stop(child);
  // The reader sees what it guards: there are lines of calls that were allowed and refused, for each kind of refusal.
  for (const text of [
    '"decision":"allowed"',
    'token_invalid',
    'resource_mismatch',
    '"door":"ws"',
    'token expired',
  ])
    expect(logged).toContain(text);
  for (const hidden of [...Object.values(tokens), secret]) {
    for (const form of [hidden, Buffer.from(hidden).toString('base64url'), encodeURIComponent(hidden)])
      expect(logged.includes(form), `${form.slice(0, 30)} is in the log`).toBe(false);
    const signature = hidden.split('.')[2];
    if (signature !== undefined) expect(logged).not.toContain(signature);
  }
}, 120_000);

/** Says who it is in a frame as well, and waits until it is over. */
function closed(socket: WebSocket, token: string): Promise<void> {
  return new Promise((resolve) => {
    socket.on('open', () => {
      socket.send(JSON.stringify({ type: 'hello', token }));
      socket.send(
        JSON.stringify({
          type: 'open',
          sid: 1,
          method: 'owned.v1.OwnedService/Open',
          message: {},
          headers: { authorization: token },
        }),
      );
      socket.send(JSON.stringify({ type: 'open', sid: 1, token }));
      setTimeout(() => socket.terminate(), 100);
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve());
  });
}
