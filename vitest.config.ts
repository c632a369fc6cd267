/** How the tests run: everything under test/ that ends in .test.ts, against real servers on free ports. */
import { defineConfig } from 'vitest/config';

const FAULTS = 'test/faults/**/*.test.ts';

export default defineConfig({
  test: {
    globalSetup: ['test/support/build.ts'],
    setupFiles: ['test/support/patience.ts'],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'tests',
          include: ['test/**/*.test.ts'],
          exclude: [FAULTS],
          // Modules are loaded once a worker, not once a file: that was a quarter of all the work. Most of the rest is waiting.
          isolate: false,
          maxWorkers: 3,
        },
      },
      // What is killed, paused and brought back, in real time: beside other work it would measure that work.
      { extends: true, test: { name: 'faults', include: [FAULTS], maxWorkers: 1 } },
    ],
  },
});
