/** A quota that is used up, in the words of HTTP (draft-ietf-httpapi-ratelimit-headers-10; RFC 9651 for the syntax). */
import type { OutgoingHttpHeaders } from 'node:http';
import type { LimitError } from '../../src/policy/limit.js';

/**
 * `RateLimit-Policy: "requests";q=2000;w=1` is the quota, and in how many seconds; without a window it is of what is open at once. `RateLimit:
 * "requests";r=0;t=1` says that nothing is left of it, and in how many seconds something is.
 */
export function rateLimitHeaders({ quota, retryMs }: LimitError): OutgoingHttpHeaders {
  const { policy, quota: most, windowSeconds } = quota;
  const unit = windowSeconds === undefined ? ';qu="concurrent-requests"' : `;w=${windowSeconds}`;
  return {
    'ratelimit-policy': `"${policy}";q=${most}${unit}`,
    ratelimit: `"${policy}";r=0;t=${Math.max(1, Math.ceil(retryMs / 1000))}`,
  };
}
