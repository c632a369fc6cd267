/** The flags of streams and of what they are kept in. */
import { DEFAULTS } from './schema.js';
import type { Setting } from './settings.js';
import { printDuration, printSize } from './units.js';

const streamTime = (
  flag: string,
  name: 'lifetimeMs' | 'leaseMs' | 'patienceMs' | 'pollMaxMs' | 'ackTtlMs',
  help: string,
): Setting => ({
  flag,
  value: 'DURATION',
  path: ['streams', name],
  env: [`TIDEGATE_${flag.toUpperCase().replaceAll('-', '_')}`],
  help,
  default: printDuration(DEFAULTS.streams[name]),
});

export const STREAMS: readonly Setting[] = [
  {
    flag: 'broker',
    value: 'URL',
    path: ['broker'],
    env: ['TIDEGATE_BROKER'],
    help: 'where the nodes of a cluster share streams: redis://HOST:PORT or nats://HOST:PORT, with TLS rediss or tls',
    default: 'memory: this node alone',
  },
  {
    flag: 'channels',
    path: ['channels'],
    env: ['TIDEGATE_CHANNELS'],
    help: 'serve the built-in Channels service: publish, subscribe, history, presence',
    default: 'off',
  },
  {
    flag: 'stream-secret-file',
    value: 'FILE',
    path: ['streams', 'secretFile'],
    env: ['TIDEGATE_STREAM_SECRET_FILE'],
    help: 'signs cursors, so that nodes and restarts know them; TIDEGATE_STREAM_SECRET holds it as such',
    default: 'a secret in the broker',
  },
  streamTime(
    'lifetime',
    'lifetimeMs',
    'a connection that can resume is renewed after about this time; 0 is never',
  ),
  streamTime('lease', 'leaseMs', 'a shared stream whose node is gone is taken over after this time'),
  streamTime(
    'patience',
    'patienceMs',
    'how long the service of a stream may be gone before its clients are told',
  ),
  streamTime('poll-max', 'pollMaxMs', 'the longest wait of a long poll'),
  {
    flag: 'stream-memory',
    value: 'SIZE',
    path: ['streams', 'memoryBytes'],
    env: ['TIDEGATE_STREAM_MEMORY'],
    help: 'what the histories of all streams that are kept in memory may take together',
    default: printSize(DEFAULTS.streams.memoryBytes),
  },
  streamTime('ack-ttl', 'ackTtlMs', 'how long the numbers of acknowledged WebSocket messages are remembered'),
];
