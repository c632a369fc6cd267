/** Values of a YAML file that know their line, for messages to the person who wrote it. */
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import type { Source } from '../method.js';
import type { ContractProblem } from './contract.js';

/** One entry of a mapping. */
export interface YamlEntry {
  readonly key: string;
  /** Where the key stands. */
  readonly source: Source;
  readonly value: YamlValue;
}

/** What all values of one file share. */
interface YamlFile {
  readonly name: string;
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
}

/** A value, looked at when it is asked for: an alias is followed then, so that no file can grow by being read. */
export class YamlValue {
  readonly #file: YamlFile;
  readonly #node: Node | null | undefined;
  readonly source: Source;

  constructor(file: YamlFile, node: Node | null | undefined, source?: Source) {
    this.#file = file;
    this.#node = isAlias(node) ? node.resolve(file.document) : node;
    this.source = sourceOf(file, node) ?? source ?? { file: file.name };
  }

  /** A string, number or boolean as it is; undefined for anything else, nothing included. */
  scalar(): string | number | boolean | undefined {
    const value = isScalar(this.#node) ? this.#node.value : undefined;
    return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      ? value
      : undefined;
  }

  /** The values of a list; undefined for anything else. */
  items(): YamlValue[] | undefined {
    if (!isSeq<Node>(this.#node)) return undefined;
    return this.#node.items.map((item) => new YamlValue(this.#file, item, this.source));
  }

  /** The entries of a mapping, in order; undefined for anything else. */
  entries(): YamlEntry[] | undefined {
    if (!isMap<Node, Node | null>(this.#node)) return undefined;
    return this.#node.items.map(({ key, value }) => {
      const source = sourceOf(this.#file, key) ?? this.source;
      return {
        key: isScalar(key) ? String(key.value) : '',
        source,
        value: new YamlValue(this.#file, value, source),
      };
    });
  }
}

function sourceOf({ name, lines }: YamlFile, node: Node | null | undefined): Source | undefined {
  const start = node?.range?.[0];
  return start === undefined ? undefined : { file: name, line: lines.linePos(start).line };
}

/** The one document of a file; undefined, and reported, when it is not valid YAML. A key given twice is not. */
export function parseYaml(name: string, text: string, problems: ContractProblem[]): YamlValue | undefined {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  for (const { message, pos } of document.errors) {
    const source = { file: name, line: lines.linePos(pos[0]).line };
    problems.push({ source, problem: `not valid YAML: ${message}` });
  }
  if (document.errors.length > 0) return undefined;
  return new YamlValue({ name, document, lines }, document.contents, { file: name, line: 1 });
}
