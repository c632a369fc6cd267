#!/usr/bin/env node
/** The `tidegate` command: connects it to this process, and nothing else. */
import { closeSync, openSync } from 'node:fs';
import { type Io, run } from './command/command.js';

const io: Io = {
  out: (line) => void process.stdout.write(`${line}\n`),
  err: (line) => void process.stderr.write(`${line}\n`),
  onSignal: (listener) => {
    const hear = (signal: NodeJS.Signals) => listener(signal === 'SIGINT' ? 'SIGINT' : 'SIGTERM');
    process.on('SIGTERM', hear).on('SIGINT', hear);
    // A terminal that was closed takes its programs with it.
    process.on('SIGHUP', () => onTerminal && !hasTerminal() && hear('SIGTERM'));
  },
  onReload: (listener) => {
    process.on('SIGHUP', () => (!onTerminal || hasTerminal()) && listener());
  },
};

const onTerminal = process.stdin.isTTY || process.stdout.isTTY;

function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}

// The reader of our output may leave first, as in `tidegate routes | head`.
process.stdout.on('error', () => process.exit(0));

let code = 1;
try {
  code = await run(process.argv.slice(2), process.env, io);
} catch (thrown) {
  io.err(thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
}
// Whatever is still open must not keep a finished command alive; what it printed must be out first.
process.stdout.write('', () => process.exit(code));
