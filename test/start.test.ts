/** `npm start` and the services' own command as processes: what they print, how they stop, and what they say when they cannot. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { stop } from './support/command.js';
import { freePort, ROOT } from './support/probe.js';

interface Run {
  readonly child: ChildProcess;
  readonly output: () => string;
  /** Resolves when the output matches, rejects when the process ends before. */
  readonly prints: (pattern: RegExp) => Promise<RegExpExecArray>;
  readonly code: Promise<number | null>;
}

function run(script: string, settings: Record<string, string>): Run {
  const env = { PATH: process.env.PATH, ...settings };
  const child = spawn(process.execPath, [`${ROOT}dist/services/${script}`], { cwd: ROOT, env });
  onTestFinished(async () => void (await stop(child)));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const code = once(child, 'close').then(([status]) => status as number | null);
  const prints = async (pattern: RegExp) => {
    for (;;) {
      const match = pattern.exec(output);
      if (match) return match;
      if (child.exitCode !== null) throw new Error(`ended without printing ${pattern}:\n${output}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  return { child, output: () => output, prints, code };
}

test('the services alone print where they are, and stop when told to', async () => {
  const services = run('main.js', { SERVICES_PORT: '0' });
  await services.prints(/^orders, quotes and chat on 127\.0\.0\.1:\d+$/m);
  services.child.kill('SIGTERM');
  expect(await services.code).toBe(0);
});

test('the services say what is wrong with their port', async () => {
  const services = run('main.js', { SERVICES_PORT: 'many' });
  expect(await services.code).toBe(1);
  expect(services.output()).toBe('SERVICES_PORT: must be 0 to 65535, not many\n');
});

test('npm start stops the gateway, then the services, and answers with the code of the gateway', async () => {
  const port = await freePort();
  const start = run('start.js', { PORT: `${port}` });
  await start.prints(/node -e "/);
  expect((await fetch(`http://127.0.0.1:${port}/v1/quotes/TIDE`)).status).toBe(200);
  start.child.kill('SIGINT');
  expect(await start.code).toBe(0);
  await expect(fetch(`http://127.0.0.1:${port}/readyz`)).rejects.toThrow();
});

test('npm start says that the gateway has died, and ends too', async () => {
  const start = run('start.js', { PORT: '0' });
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
  const start = run('start.js', { PORT: `${port}` });
  expect(await start.code).toBeGreaterThan(0);
  expect(start.output()).toMatch(/cannot listen on 127.0.0.1:\d+ \(EADDRINUSE\)/);
  expect(start.output()).not.toMatch(/curl/);
});
