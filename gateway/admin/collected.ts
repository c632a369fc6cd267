/** Metrics of what is counted elsewhere: read when Prometheus asks. */
import { Counter, Gauge, type Registry } from 'prom-client';

export interface Collected {
  readonly name: string;
  readonly help: string;
}

/** `counts`: by the value of the one label. */
export function collectCounts(
  registry: Registry,
  {
    name,
    help,
    label,
    counts,
  }: Collected & {
    readonly label: string;
    readonly counts: () => Iterable<readonly [string, number]>;
  },
): void {
  new Counter({
    name,
    help,
    labelNames: [label],
    registers: [registry],
    collect() {
      this.reset();
      for (const [value, count] of counts()) this.inc({ [label]: value }, count);
    },
  });
}

export function collectGauge(
  registry: Registry,
  { name, help, value }: Collected & { readonly value: () => number },
): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(value());
    },
  });
}
