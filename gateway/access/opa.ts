/** Open Policy Agent's HTTP data API (https://www.openpolicyagent.org/docs/rest-api#get-a-document-with-input): one question, one verdict. */
import type { Decide, Verdict } from '../../src/policy/external.js';
import type { ExternalConfig } from '../config.js';
import { readText } from '../http/answer.js';

/** An answer is a few bytes. */
const MOST_BYTES = 65_536;

/**
 * `POST {"input": question}`; the answer's `result` is a boolean, or `{"allow": boolean, "reason": text}`. Without a `result` nothing is decided, and that is
 * no. Rejects for any other answer, a status that is not 200, a redirect, and silence beyond `timeoutMs`.
 */
export function createOpa({ url, timeoutMs }: Pick<ExternalConfig, 'url' | 'timeoutMs'>): Decide {
  return async (question) => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ input: question }),
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`the policy server answered with status ${response.status}`);
    }
    return verdictOf(
      JSON.parse(await readText(response, MOST_BYTES, 'the policy server answered with more than')),
    );
  };
}

function verdictOf(answer: unknown): Verdict {
  if (!isObject(answer)) throw new Error('the policy server answered with no object');
  const { result } = answer;
  if (result === undefined) return { allow: false, reason: 'no policy allows it' };
  if (typeof result === 'boolean') return { allow: result };
  if (!isObject(result) || typeof result.allow !== 'boolean')
    throw new Error('expected result, or allow in it, to be a boolean in the answer of the policy server');
  const { allow, reason } = result;
  return { allow, ...(typeof reason === 'string' && { reason }) };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
