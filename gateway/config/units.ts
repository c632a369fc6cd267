/** Sizes and durations as people write them: `4MiB`, `30s`. */

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1000,
  kib: 1024,
  mb: 1000 ** 2,
  mib: 1024 ** 2,
  gb: 1000 ** 3,
  gib: 1024 ** 3,
};

const DURATION_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Bytes of `4194304`, `4MiB` (1024) or `4MB` (1000), whatever the case; undefined when it is no size. */
export function parseSize(value: unknown): number | undefined {
  return quantity(value, SIZE_UNITS);
}

/** Milliseconds of `30000`, `500ms`, `30s`, `1.5m`, `24h` or `7d`; undefined when it is no duration. */
export function parseDuration(value: unknown): number | undefined {
  return quantity(value, DURATION_UNITS);
}

/** The shortest exact form: `4MiB`, `64KiB`, `1000B`. */
export function printSize(bytes: number): string {
  const unit = (['GiB', 'MiB', 'KiB'] as const).find((name) =>
    divides(SIZE_UNITS[name.toLowerCase()], bytes),
  );
  return unit === undefined ? `${bytes}B` : `${bytes / (SIZE_UNITS[unit.toLowerCase()] as number)}${unit}`;
}

/** The shortest exact form: `30s`, `200ms`, `0`. */
export function printDuration(ms: number): string {
  if (ms === 0) return '0';
  const unit = (['h', 'm', 's'] as const).find((name) => divides(DURATION_UNITS[name], ms)) ?? 'ms';
  return `${ms / (DURATION_UNITS[unit] as number)}${unit}`;
}

function divides(unit: number | undefined, value: number): boolean {
  return unit !== undefined && value > 0 && value % unit === 0;
}

function quantity(value: unknown, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?) ?([a-z]*)$/i.exec(String(value));
  if (match === null || (typeof value !== 'string' && typeof value !== 'number')) return undefined;
  const unit = Object.hasOwn(units, (match[2] as string).toLowerCase())
    ? units[(match[2] as string).toLowerCase()]
    : undefined;
  const amount = Number(match[1]) * (unit ?? Number.NaN);
  return Number.isSafeInteger(amount) ? amount : undefined;
}
