/** A JSON document over HTTP, of bounded size and in bounded time. */
import { readText } from '../http/answer.js';

export interface FetchedJson {
  readonly json: unknown;
  /** From Cache-Control (RFC 9111, 5.2.2.1), in seconds; 0 for `no-store` and `no-cache`. */
  readonly maxAge: number | undefined;
}

export interface FetchLimits {
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** Whoever asks is no longer there. */
  readonly abort: AbortSignal;
}

/** Rejects with an Error that says what is wrong. Follows no redirect: the address is a matter of trust. */
export async function fetchJson(
  url: string,
  { timeoutMs, maxBytes, abort }: FetchLimits,
): Promise<FetchedJson> {
  const late = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([late, abort]);
  try {
    const response = await fetch(url, {
      headers: { accept: 'application/jwk-set+json, application/json' },
      redirect: 'manual',
      signal,
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`it answers ${response.status}`);
    }
    return {
      json: parse(await readText(response, maxBytes, 'the answer is longer than')),
      maxAge: maxAgeOf(response.headers),
    };
  } catch (thrown) {
    if (late.aborted) throw new Error(`no answer within ${timeoutMs} ms`);
    const { cause, message } = thrown as Error;
    // What fetch itself says is "fetch failed".
    throw new Error(
      cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : message,
    );
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('the answer is not JSON');
  }
}

function maxAgeOf(headers: Headers): number | undefined {
  const control = headers.get('cache-control') ?? '';
  if (/\bno-(?:store|cache)\b/i.test(control)) return 0;
  const seconds = /(?:^|[\s,])max-age="?(\d{1,9})/i.exec(control)?.[1];
  return seconds === undefined ? undefined : Number(seconds);
}
