/** Runs something that must be refused, and shows the refusal. */
import { StatusError } from '../../../src/status.js';

/** The StatusError that `work` throws; any other outcome is an error of the test. */
export function refusal(work: () => unknown): StatusError {
  let answer: unknown;
  try {
    answer = work();
  } catch (thrown) {
    if (thrown instanceof StatusError) return thrown;
    throw thrown;
  }
  throw new Error(`not refused: ${String(answer)}`);
}
