/** A command of the services as a process: what it prints, and how it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';
import { stop } from './command.js';
import { ROOT } from './probe.js';

export interface Run {
  readonly child: ChildProcess;
  readonly output: () => string;
  /** Resolves when the output matches, rejects when the process ends before. */
  readonly prints: (pattern: RegExp) => Promise<RegExpExecArray>;
  readonly code: Promise<number | null>;
}

/** `script`: below dist/services. Stopped when the test is over. */
export function runService(script: string, settings: Record<string, string>): Run {
  const env = { PATH: process.env.PATH, ...settings };
  const child = spawn(process.execPath, [`${ROOT}dist/services/${script}`], { cwd: ROOT, env });
  onTestFinished(async () => void (await stop(child)));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
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
