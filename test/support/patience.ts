/** How long tests wait for what must come: as long as a slow machine needs, and no longer than it takes. */
import { vi } from 'vitest';

const WAIT_MS = 10_000;

const { waitFor } = vi;

/** vi.waitFor gives up after a second unless it is told otherwise, which a busy machine spends on less. */
vi.waitFor = (callback, options) =>
  waitFor(callback, typeof options === 'number' ? options : { timeout: WAIT_MS, ...options });
