/** The event that is broadcast: JSON of 600 bytes, as the gateway prints a Tick of the ticker. */

const BYTES = 600;
/** With a number of three digits, and the time in microseconds. */
const BARE = '{"n":"123","stream":"bench","sent":"1700000000000000","padding":""}'.length;

/** What the ticker has to add to an event so that its JSON has 600 bytes. */
export const BENCH_PADDING = BYTES - BARE;

const padding = 'x'.repeat(BENCH_PADDING);
let n = 0;

/** The next event. */
export function benchTick(): string {
  n++;
  const sent = Math.round((performance.timeOrigin + performance.now()) * 1000);
  return `{"n":"${n}","stream":"bench","sent":"${sent}","padding":"${padding}"}`;
}
