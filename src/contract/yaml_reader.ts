/** Reads values of a YAML file as what they are expected to be, and collects what is wrong with them, with file and line. */
import type { Source } from '../method.js';
import { suggest } from '../nearest.js';
import type { ContractProblem } from './contract.js';
import type { YamlEntry, YamlValue } from './yaml_value.js';

/** google.protobuf.Duration in JSON, without a sign. */
const DURATION = /^(\d{1,12}(?:\.\d{1,9})?)s$/;

/** Field names may be written as protobuf has them or as JSON has them. */
const protoName = (key: string) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** By proto name. */
export type YamlFields = ReadonlyMap<string, YamlEntry>;

/** What is not as expected is reported, and read as nothing: false, an empty text, an empty list. */
export class YamlReader {
  /** What problems name besides their place: the rule that is being read. */
  protected rule: string | undefined;

  constructor(private readonly problems: ContractProblem[]) {}

  /** A whole number of milliseconds. */
  milliseconds(entry: YamlEntry): number {
    const seconds = DURATION.exec(String(entry.value.scalar()))?.[1];
    if (seconds === undefined)
      this.report(entry.value.source, `${entry.key}: expected seconds such as 5s or 1.5s`);
    return Math.round(Number(seconds ?? 0) * 1_000);
  }

  whole(entry: YamlEntry): number {
    const value = entry.value.scalar();
    // A string too: so JSON has 64-bit integers.
    if (/^\d{1,15}$/.test(String(value))) return Number(value);
    this.report(entry.value.source, `${entry.key}: expected a whole number`);
    return 0;
  }

  /** What one of these names stands for; undefined, and reported, for any other. */
  oneOf<T>(entry: YamlEntry, names: Readonly<Record<string, T>>): T | undefined {
    const value = String(entry.value.scalar());
    if (Object.hasOwn(names, value)) return names[value];
    this.report(entry.value.source, `${entry.key}: expected one of ${Object.keys(names).join(', ')}`);
    return undefined;
  }

  boolean(entry: YamlEntry): boolean {
    const value = entry.value.scalar();
    if (typeof value !== 'boolean') this.report(entry.source, `${entry.key}: expected true or false`);
    return value === true;
  }

  text(entry: YamlEntry): string {
    const value = entry.value.scalar();
    if (typeof value === 'string' && value !== '') return value;
    this.report(entry.source, `${entry.key}: expected a text`);
    return '';
  }

  list(entry: YamlEntry): YamlValue[] {
    const items = entry.value.items();
    if (items === undefined) this.report(entry.source, `${entry.key}: expected a list`);
    return items ?? [];
  }

  /** One text, or a list of them, as in the text form of the option. */
  texts(entry: YamlEntry): string[] {
    const items = entry.value.scalar() === undefined ? this.list(entry) : [entry.value];
    return items.map((value) => this.text({ key: entry.key, source: value.source, value }));
  }

  /** The entries of a mapping, by proto name; undefined, and reported, for anything else. Unknown keys are reported. */
  fields(value: YamlValue, known: readonly string[], what: string): YamlFields | undefined {
    const entries = value.entries();
    if (entries === undefined) {
      this.report(value.source, `${what}: expected a mapping`);
      return undefined;
    }
    const fields = new Map<string, YamlEntry>();
    for (const entry of entries) {
      const key = protoName(entry.key);
      if (fields.has(key)) this.report(entry.source, `${entry.key} is given twice`);
      else if (!known.includes(key))
        this.report(entry.source, `unknown key ${entry.key}${suggest(key, known)}`);
      else fields.set(key, { ...entry, key });
    }
    return fields;
  }

  report(source: Source | undefined, problem: string): void {
    this.problems.push({
      ...(source && { source }),
      ...(this.rule !== undefined && { rule: this.rule }),
      problem,
    });
  }
}
