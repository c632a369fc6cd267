/** An import that is in none of the folders searched: what it is for, and where it may be. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ContractProblem } from './contract.js';
import { type KnownFile, knownFile } from './known_files.js';
import type { ProtoImport, ProtoText } from './proto_text.js';

export interface Importer {
  readonly name: string;
  readonly text: ProtoText;
}

export interface Searched {
  /** Absolute folders of the user's. */
  readonly searched: readonly string[];
  /** Absolute paths of the files that were asked for, with slashes. */
  readonly asked: readonly string[];
}

export function missingImport(
  { name: file, text }: Importer,
  { name, line }: ProtoImport,
  { searched, asked }: Searched,
): ContractProblem {
  const told = { source: { file, line }, cause: `import ${name}` };
  const elsewhere = asked.find((path) => path.endsWith(`/${name}`));
  const folder = elsewhere?.slice(0, -name.length - 1) ?? folderNearby(name, searched);
  if (folder !== undefined)
    return { ...told, problem: `imports "${name}", which is in ${folder}: add --include ${folder}` };
  const where = `in none of the folders searched (${searched.join(', ')})`;
  const problem = `imports "${name}", which is ${where}: add the folder that holds it with --include`;
  const known = knownFile(name);
  return { ...told, problem: known ? `${problem}; ${aboutKnown(known, text)}` : problem };
}

/** Where it comes from, and what the file uses it for where that is nothing but options. */
function aboutKnown({ options, types, from }: KnownFile, { optionLines }: ProtoText): string {
  const origin = from === undefined ? 'it comes with this gateway' : `it comes from ${from}`;
  if (!options || types) return origin;
  const used = [...optionLines].filter(([option]) => options.test(option.replace(/^\./, '')));
  if (used.length === 0) return `${origin}, and this file sets none of its options`;
  const printed = used.map(([option, line]) => `(${option}) of line ${line}`).join(' and ');
  return `${origin}, and is needed for option ${printed} alone`;
}

/** Where projects keep files of others, beside their own. */
const USUAL = [
  '',
  'third_party',
  'third_party/googleapis',
  'third_party/proto',
  'googleapis',
  'include',
  'proto',
  'protos',
  'vendor',
  'vendor/googleapis',
  'node_modules/google-proto-files',
  'node_modules/google-gax/build/protos',
];

const LEVELS_UP = 3;

/** A usual folder around those that were searched. */
function folderNearby(name: string, searched: readonly string[]): string | undefined {
  for (const root of searched) {
    let around = root;
    for (let level = 0; level <= LEVELS_UP; level += 1) {
      const found = USUAL.map((usual) => join(around, usual)).find((folder) =>
        existsSync(join(folder, name)),
      );
      if (found !== undefined) return found;
      around = dirname(around);
    }
  }
  return undefined;
}
