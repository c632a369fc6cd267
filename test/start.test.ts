/** `npm start` and the services' own command as processes: what they print, how they stop, and what they say when they cannot. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { DEMO_PASSWORDS } from '../services/auth/demo.js';
import { startGateway, tokenFor } from './support/gateway.js';
import { freePort } from './support/probe.js';
import { runService } from './support/service_process.js';

test('the services alone print where they are, and stop when told to', async () => {
  const services = runService('main.js', { SERVICES_PORT: '0' });
  await services.prints(/^orders, quotes and chat on 127\.0\.0\.1:\d+$/m);
  services.child.kill('SIGTERM');
  expect(await services.code).toBe(0);
});

test('channels alone print where they are, serve by reflection, and stop when told to', async () => {
  const channels = runService('channels/main.js', { CHANNELS_PORT: '0' });
  const [, address] = await channels.prints(/^channels on (127\.0\.0\.1:\d+), over memory$/m);
  const gateway = await startGateway(address as string, []);
  onTestFinished(() => gateway.close());
  const { methods } = gateway.gateway.table().contract;
  expect(new Set(methods.map(({ service }) => service))).toEqual(new Set(['tidegate.v1.ChannelsService']));
  const token = tokenFor('ada', ['channels:publish:news']);
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
  const url = `http://127.0.0.1:${gateway.port}/v1/channels/news:publish`;
  expect((await fetch(url, { method: 'POST', headers, body: '{"data":1}' })).status).toBe(200);
  channels.child.kill('SIGTERM');
  expect(await channels.code).toBe(0);
});

test('channels say what is wrong with their settings', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const rules = join(folder, 'rules.json');
  const outputOf = async (settings: Record<string, string>) => {
    const channels = runService('channels/main.js', { CHANNELS_PORT: '0', ...settings });
    expect(await channels.code).toBe(1);
    return channels.output().trimEnd();
  };
  expect(await outputOf({ CHANNELS_PORT: 'x' })).toBe('CHANNELS_PORT: must be 0 to 65535, not x');
  expect(await outputOf({ TIDEGATE_BROKER: 'http://x' })).toMatch(/http/);
  expect(await outputOf({ CHANNEL_RULES: `${rules}.no` })).toMatch(/rules\.json\.no: ENOENT/);
  writeFileSync(rules, '{}');
  expect(await outputOf({ CHANNEL_RULES: rules })).toBe(`${rules}: expected a list of rules`);
  const wrong = [
    { publish: 'public' },
    { match: 'a', join: [], retention: { ageMs: 1 } },
    { match: 'a', x: 1, publish: 'Public', subscribe: ['public'] },
    5,
  ];
  writeFileSync(rules, JSON.stringify(wrong));
  const grant = 'expected public, authenticated, nobody, a permission, or a list of permissions';
  expect(await outputOf({ CHANNEL_RULES: rules })).toBe(
    [
      `${rules}: [0]: match is missing`,
      `${rules}: [1].join: ${grant}`,
      `${rules}: [1].retention.ageMs: expected milliseconds from 100`,
      `${rules}: [2].x: unknown key`,
      `${rules}: [2].publish: ${grant}`,
      `${rules}: [3]: expected an object`,
    ].join('\n'),
  );
});

test('the services say what is wrong with their port', async () => {
  const services = runService('main.js', { SERVICES_PORT: 'many' });
  expect(await services.code).toBe(1);
  expect(services.output()).toBe('SERVICES_PORT: must be 0 to 65535, not many\n');
});

test('npm start stops the gateway, then the services, and answers with the code of the gateway', async () => {
  const port = await freePort();
  const start = runService('start.js', { PORT: `${port}` });
  await start.prints(/node -e "/);
  expect((await fetch(`http://127.0.0.1:${port}/v1/quotes/TIDE`)).status).toBe(200);
  // Its channel `news` is for everybody, and no other one is.
  const publish = async (channel: string) => {
    const headers = { 'content-type': 'application/json' };
    const url = `http://127.0.0.1:${port}/v1/channels/${channel}:publish`;
    return (await fetch(url, { method: 'POST', headers, body: '{"data":{"n":1}}' })).status;
  };
  expect([await publish('news'), await publish('other')]).toEqual([200, 401]);
  // The token that is printed and those of the auth service are good; its keys come through the gateway itself.
  const read = (path: string, token: unknown) =>
    fetch(`http://127.0.0.1:${port}${path}`, { headers: { authorization: `Bearer ${token}` } });
  const [, development] = await start.prints(/authorization: Bearer ([\w.-]+)/);
  expect((await read('/v1/orders', development)).status).toBe(200);
  const post = (path: string, body: object) =>
    fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const login = await post('/v1/auth/login', { username: 'ben', password: DEMO_PASSWORDS.ben });
  const { access_token: own, refresh_token } = (await login.json()) as Record<string, string>;
  expect(await (await read('/v1/auth/me', own)).json()).toMatchObject({ userId: 'ben' });
  expect(start.output()).not.toMatch(/cannot be fetched/);
  // A logout ends the access token too.
  expect((await post('/v1/auth/logout', { refresh_token })).status).toBe(200);
  expect((await read('/v1/auth/me', own)).status).toBe(401);
  start.child.kill('SIGINT');
  expect(await start.code).toBe(0);
  await expect(fetch(`http://127.0.0.1:${port}/readyz`)).rejects.toThrow();
});

test('npm start says that the gateway has died, and ends too', async () => {
  const start = runService('start.js', { PORT: '0' });
  const [, pid] = await start.prints(/"pid":(\d+)/);
  await start.prints(/node -e "/);
  process.kill(Number(pid), 'SIGKILL');
  expect(await start.code).toBe(1);
  expect(start.output()).toMatch(/the gateway has ended by itself, with SIGKILL\n$/);
});

test('npm start ends with the error of a gateway that cannot start', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  onTestFinished(() => void taken.close());
  const { port } = taken.address() as { port: number };
  // Whoever listens there is not a gateway, and answers nothing that one would.
  taken.on('connection', (socket) => socket.destroy());
  const start = runService('start.js', { PORT: `${port}` });
  expect(await start.code).toBeGreaterThan(0);
  expect(start.output()).toMatch(/cannot listen on 127.0.0.1:\d+ \(EADDRINUSE\)/);
  expect(start.output()).not.toMatch(/curl/);
});
