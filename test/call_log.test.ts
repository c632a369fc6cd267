/** What the log says of calls: broken things loudly and once, the rest when asked, secrets never. */
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { createCallLog } from '../gateway/admin/call_log.js';
import type { Call } from '../src/call.js';
import type { Method } from '../src/method.js';
import { ANONYMOUS } from '../src/principal.js';
import { Code, StatusError } from '../src/status.js';

function record(level: string) {
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level },
    { write: (line: string) => lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const calls = createCallLog(log);
  const method = { name: 'a.v1.S/Do', clientStreaming: false, serverStreaming: true } as Method;
  const principal = { ...ANONYMOUS, subject: 'u1' };
  const call = {
    id: 'r1',
    method,
    principal,
    metadata: { authorization: 'Bearer secret' },
  } as unknown as Call;
  const end = (code: Code, error?: StatusError): void =>
    calls.observer
      .start(call)
      .end({ code, error, durationMs: 1.26, acceptedMs: 1, messagesIn: 1, messagesOut: 7 });
  return { lines, calls, end };
}

test('a call that went well is a line for those who debug', () => {
  const quiet = record('info');
  quiet.end(Code.OK);
  expect(quiet.lines).toEqual([]);
  const { lines, end } = record('debug');
  end(Code.OK);
  expect(lines).toMatchObject([
    { level: 20, id: 'r1', method: 'a.v1.S/Do', code: 'OK', ms: 1.3, subject: 'u1', messagesOut: 7 },
  ]);
  expect(JSON.stringify(lines)).not.toContain('secret');
});

test('what the client did wrong is no warning, what is broken is an error with its cause', () => {
  const { lines, end } = record('info');
  end(Code.NOT_FOUND, new StatusError(Code.NOT_FOUND, 'no such thing'));
  end(
    Code.UNAVAILABLE,
    new StatusError(Code.UNAVAILABLE, 'upstream u1 is unavailable', { cause: new Error('ECONNREFUSED') }),
  );
  end(Code.INTERNAL, StatusError.from(new Error('a bug')));
  expect(lines).toMatchObject([
    { level: 40, code: 'UNAVAILABLE', cause: 'ECONNREFUSED' },
    { level: 50, code: 'INTERNAL', cause: expect.stringMatching(/^Error: a bug\n +at /) },
  ]);
});

test('an error that the chain has logged is not logged again by a door', () => {
  const { lines, calls, end } = record('info');
  const error = StatusError.from(new Error('a bug'));
  end(Code.INTERNAL, error);
  calls.failure('r1', error);
  calls.failure('r2', StatusError.from(new Error('another')));
  expect(lines.map(({ id }) => id)).toEqual(['r1', 'r2']);
});
