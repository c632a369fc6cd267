/**
 * Throws a million inputs, most of them bad, at the readers of templates, paths, queries and bodies: see fuzz_runner.ts.
 *
 * `npm run fuzz:inputs [-- INPUTS [SEED]]`
 */
import { runFuzz } from './fuzz_runner.js';
import { TARGETS } from './targets.js';

await runFuzz({ url: import.meta.url, prepare: () => Promise.resolve({ targets: TARGETS }) });
