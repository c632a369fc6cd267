/** What a large contract costs: time and memory to load it, and what ten reloads leave behind. Fails when it is too much. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../gateway/config.js';
import { createGateway } from '../../gateway/gateway.js';

const FILES = 20;
const METHODS = 50;
const RELOADS = 10;
const LIMITS = { loadMs: 3_000, rssMb: 150, growth: 1.1 };

/** One of the files: 50 methods with two routes each, 150 messages. `edition` makes each writing another contract. */
function protoFile(file: number, edition: number): string {
  const each = (print: (at: number) => string) =>
    Array.from({ length: METHODS }, (_, at) => print(at)).join('\n');
  return `syntax = "proto3";
package big.p${file};
import "google/api/annotations.proto";
import "tidegate/v1/options.proto";
service Service${file} {
${each(
  (at) => `  rpc Do${at}(Request${at}) returns (Reply${at}) {
    option (google.api.http) = {post: "/v1/p${file}/do${at}/{id}" body: "*" additional_bindings {get: "/v2/p${file}/do${at}/{id}"}};
    option (tidegate.v1.access) = {permissions: "p${at}"};
  }`,
)}
}
${each(
  (at) => `message Item${at} {
  string name = 1; int64 size = 2; repeated string tags = 3; map<string, string> labels = 4; Item${at} next = 5;
}
message Request${at} {
  string id = 1; int32 page_size = 2; Item${at} item = 3; bool flag = 4; double ratio = 5; repeated Item${(at + 1) % METHODS} items = 6;
  int32 edition_${edition} = 7;
}
message Reply${at} { repeated Item${at} items = 1; string next = 2; oneof result { string text = 3; int64 number = 4; } }`,
)}
`;
}

function write(folder: string, edition: number): void {
  for (let file = 0; file < FILES; file++)
    writeFileSync(join(folder, `p${file}.proto`), protoFile(file, edition));
}

/** Resident memory in MB, once the collector and the allocator give back no more. */
async function rss(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let idle = 0, turn = 0; idle < 8 && turn < 60; turn++) {
    (globalThis as { gc?: () => void }).gc?.();
    await sleep(100);
    const now = process.memoryUsage.rss() / 1e6;
    idle = now < least - 0.1 ? 0 : idle + 1;
    least = Math.min(least, now);
  }
  return least;
}

const folder = mkdtempSync(join(tmpdir(), 'tidegate-memory-'));
write(folder, 0);
const argv = [
  '--dev',
  '--log-level',
  'silent',
  '--reload',
  '0',
  '--upstream',
  '127.0.0.1:9',
  '--proto',
  folder,
];
const base = await rss();
const began = performance.now();
const gateway = await createGateway(loadConfig({ argv, env: {} }));
const loadMs = performance.now() - began;
const loaded = await rss();

const times: number[] = [];
for (let edition = 1; edition <= RELOADS; edition++) {
  write(folder, edition);
  const start = performance.now();
  const { changes } = await gateway.reload();
  times.push(performance.now() - start);
  if (changes.length !== FILES * METHODS) throw new Error(`${changes.length} changes`);
  await sleep(50);
}
const after = await rss();
await gateway.close();
rmSync(folder, { recursive: true });

const round = (value: number) => Math.round(value);
const results = [
  { what: 'load, ms', value: round(loadMs), limit: LIMITS.loadMs },
  { what: 'resident memory with it, MB', value: round(loaded), limit: LIMITS.rssMb },
  { what: 'memory of the contract alone, MB', value: round(loaded - base), limit: LIMITS.rssMb },
  { what: 'a reload, ms', value: round(Math.max(...times)), limit: LIMITS.loadMs },
  { what: `memory after ${RELOADS} reloads, MB`, value: round(after), limit: round(loaded * LIMITS.growth) },
];
console.log(`${FILES * METHODS} methods, ${FILES * METHODS * 3} messages`);
console.table(results);
process.exitCode = results.every(({ value, limit }) => value <= limit) ? 0 : 1;
