/** What Prometheus is told of streams: who came back and could go on, who was reset, and whom the gateway sent away. */
import { Counter, type Registry } from 'prom-client';
import type { StreamCounts } from '../streams.js';

export function registerStreams(registry: Registry): StreamCounts {
  const registers = [registry];
  const resumes = new Counter({
    name: 'tidegate_stream_resumes_total',
    help: 'Clients that came with a cursor: resumed, or reset because the stream could not go on there.',
    labelNames: ['door', 'result'],
    registers,
  });
  const resets = new Counter({
    name: 'tidegate_stream_resets_total',
    help: 'Clients that were told that what follows does not continue what they have seen.',
    labelNames: ['door', 'reason'],
    registers,
  });
  const farewells = new Counter({
    name: 'tidegate_connections_ended_total',
    help: 'Long-lived connections that the gateway ended: lifetime, expired, revoked, drain, slow, no_pong, overload or idle.',
    labelNames: ['door', 'reason'],
    registers,
  });
  return {
    resumed: (door, could) => resumes.inc({ door, result: could ? 'resumed' : 'reset' }),
    reset: (door, reason) => resets.inc({ door, reason }),
    left: (door, reason) => farewells.inc({ door, reason }),
  };
}
