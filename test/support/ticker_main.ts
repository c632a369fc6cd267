/** The ticker as a process of its own: `node ticker_main.js '{"port":..., "start":..., "rate":..., "count":...}'`; a line for each call. */
import { type ClockPace, clockPace, startTicker } from './ticker.js';

const options = JSON.parse(process.argv[2] ?? '{}') as ClockPace & {
  readonly port: number;
  readonly padding?: number;
};
await startTicker({
  port: options.port,
  padding: options.padding ?? 0,
  pace: clockPace(options),
  onCall: (call, begins) => process.stdout.write(`${JSON.stringify({ ...call, begins, at: Date.now() })}\n`),
});
