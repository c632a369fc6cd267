/** What is told of limits: everything to the metrics, little to the log. */
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { createCallLog } from '../../gateway/admin/call_log.js';
import { createNotices } from '../../gateway/limits/notices.js';
import { rateExceeded } from '../../src/policy/limit.js';

test('a thousand refusals are a thousand in the metrics, and one line in the log', () => {
  const lines: { limit?: string; level?: number }[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const counted: string[] = [];
  const notices = createNotices({ count: (limit) => void counted.push(limit), log });
  const calls = createCallLog(log);
  for (let n = 0; n < 1000; n++) {
    const error = rateExceeded('requests', { perSecond: 1 }, { retryMs: 1, subject: 'principal:u1' });
    // Seen at the end of the call, and again by the door that shows it.
    notices.failed(error);
    notices.failed(error);
    calls.failure(`r${n}`, error);
  }
  notices.reached('messages');
  expect(counted.length).toBe(1001);
  expect(lines.map(({ limit }) => limit)).toEqual(['requests', 'messages']);
});
