/**
 * What a large contract costs: 1,000 methods and 3,000 messages, read from .proto files and from a descriptor set by the
 * `tidegate` command, in time until it serves and in resident memory: `npm run bench:memory`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { describeProtos } from '../../src/contract/protos.js';
import { MAIN, stop } from '../support/command.js';
import { freePort, PROBE_PROTO } from '../support/probe.js';
import { memoryOf } from './process.js';

const FILES = 100;
const METHODS_PER_FILE = 10;
const FIELDS = [
  'string name = 1;',
  'int64 total = 2;',
  'repeated string tags = 3;',
  'map<string, string> labels = 4;',
  'google.protobuf.Timestamp create_time = 5;',
  'optional bool active = 6;',
  'State state = 7;',
  'oneof owner { string user = 8; string team = 9; }',
];

/** One file: a service of ten methods, and of each method a request, a reply and the resource in it. */
function proto(file: number): string {
  const numbers = Array.from({ length: METHODS_PER_FILE }, (_, index) => index);
  const methods = numbers.map(
    (n) => `  // Answers thing ${n}.
  rpc Do${n}(Request${n}) returns (Reply${n}) {
    option (google.api.http) = {${n % 2 === 0 ? 'get' : 'patch'}: "/v1/area${file}/things${n}/{id}"${n % 2 === 0 ? '' : ' body: "thing"'}};
    option (tidegate.v1.access) = {public: true};
  }`,
  );
  const messages = numbers.map(
    (n) => `// What thing ${n} is.
message Thing${n} {
  ${FIELDS.join('\n  ')}
}
message Request${n} {
  string id = 1;
  Thing${n} thing = 2;
  int32 page_size = 3;
  repeated Thing${(n + 1) % METHODS_PER_FILE} related = 4;
}
message Reply${n} {
  Thing${n} thing = 1;
  repeated Thing${n} things = 2;
  string next_page_token = 3;
}`,
  );
  return `syntax = "proto3";
package bench.area${file};
import "google/api/annotations.proto";
import "google/protobuf/timestamp.proto";
import "tidegate/v1/options.proto";

enum State { STATE_UNSPECIFIED = 0; STATE_OPEN = 1; STATE_CLOSED = 2; }
service Area${file} {
${methods.join('\n')}
}
${messages.join('\n')}
`;
}

/** Writes the contract as .proto files and as a descriptor set; answers the places of both. */
function writeContract(folder: string): { protos: string; descriptors: string } {
  const protos = join(folder, 'protos');
  const descriptors = join(folder, 'contract.binpb');
  mkdirSync(protos);
  for (let file = 0; file < FILES; file++) writeFileSync(join(protos, `area${file}.proto`), proto(file));
  const { files } = describeProtos({ protos: [protos], includes: [] });
  writeFileSync(
    descriptors,
    toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [...files] })),
  );
  return { protos, descriptors };
}

/** Starts the command and resolves when it answers. */
async function serve(
  flags: readonly string[],
): Promise<{ child: ChildProcess; port: number; seconds: number }> {
  const port = await freePort();
  const started = performance.now();
  const args = [MAIN, 'serve', '--dev', '--port', String(port), '--log-level', 'silent', ...flags];
  // Nobody listens there: what is measured is the contract.
  const child = spawn(process.execPath, [...args, '--upstream', '127.0.0.1:9'], { stdio: 'ignore' });
  for (;;) {
    const up = await fetch(`http://127.0.0.1:${port}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (up) return { child, port, seconds: (performance.now() - started) / 1000 };
    if (child.exitCode !== null) throw new Error(`the gateway ended with ${child.exitCode}`);
    await sleep(10);
  }
}

/** One request to every method, so that everything that is made on first use is there. */
async function useAll(port: number): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({
    name: 'x',
    total: '1',
    tags: ['a'],
    labels: { a: 'b' },
    state: 'STATE_OPEN',
  });
  for (let file = 0; file < FILES; file++) {
    const answers = Array.from({ length: METHODS_PER_FILE }, (_, n) =>
      fetch(
        `http://127.0.0.1:${port}/v1/area${file}/things${n}/1`,
        n % 2 === 0 ? {} : { method: 'PATCH', headers, body },
      ),
    );
    for (const answer of await Promise.all(answers)) {
      if (answer.status !== 503) throw new Error(`a route answers ${answer.status}: ${await answer.text()}`);
      await answer.arrayBuffer();
    }
  }
}

async function measure(name: string, flags: readonly string[], uses = true): Promise<void> {
  const { child, port, seconds } = await serve(flags);
  try {
    await sleep(500);
    const loaded = memoryOf(child.pid as number);
    if (uses) await useAll(port);
    await sleep(500);
    const used = memoryOf(child.pid as number);
    const mb = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(0)} MB`.padStart(14);
    const cells = `${`${seconds.toFixed(2)} s`.padStart(12)}${mb(loaded.now)}${mb(loaded.peak)}${mb(used.now)}`;
    process.stdout.write(`${name.padEnd(16)}${cells}\n`);
  } finally {
    await stop(child);
  }
}

const folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-'));
try {
  const { protos, descriptors } = writeContract(folder);
  process.stdout.write(
    `node ${process.version}; ${FILES * METHODS_PER_FILE} methods, ${FILES * METHODS_PER_FILE * 3} messages; the process as a whole\n` +
      `${' '.repeat(16)}${'serves after'.padStart(12)}${'RSS'.padStart(14)}${'RSS peak'.padStart(14)}${'all used'.padStart(14)}\n`,
  );
  // What the process costs without them: the contract of the probe has eight methods.
  await measure('nothing much', ['--proto', PROBE_PROTO], false);
  await measure('.proto files', ['--proto', protos]);
  await measure('descriptor set', ['--descriptors', descriptors]);
} finally {
  rmSync(folder, { recursive: true });
}
