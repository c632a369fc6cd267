/** The innermost Invoke: one gRPC service behind one address, reached with @grpc/grpc-js. */
import { Channel, type ChannelOptions, connectivityState } from '@grpc/grpc-js';
import type { Invoke } from '../call.js';
import { retryInfo } from '../details.js';
import { Code, StatusError } from '../status.js';
import { channelCredentials, nameOptions, type UpstreamTls } from './credentials.js';
import { watchReconnects } from './reconnect.js';
import type { Link, Running } from './running.js';
import { SingleReply } from './single.js';
import { StreamReply } from './stream.js';

export interface GrpcUpstreamOptions {
  /** In messages to clients, logs and metrics. */
  readonly name: string;
  /** `host:port`. Never shown to a client. */
  readonly address: string;
  /** Default: plaintext. */
  readonly tls?: UpstreamTls | undefined;
  /** A stream whose service is silent this long counts as accepted, in ms; default 200. */
  readonly acceptMs?: number;
  /** A call that has no connection after this time is refused, in ms; default 5 s. */
  readonly connectMs?: number;
  /** Largest message that the service may send, in bytes, also when inflated; default 4 MiB. */
  readonly maxReplyBytes?: number;
  /** Calls that may run at once, streams among them; 0: any number; default 0. What is more is refused with UNAVAILABLE. */
  readonly maxCalls?: number;
  /**
   * Between HTTP/2 pings while calls are running, in ms; default 5.5 min. Servers answer more frequent pings on a
   * quiet connection by closing it, unless they are configured to allow them (gRFC A8; grpc-go, grpc-java and
   * the C++ servers allow one in 5 minutes).
   */
  readonly keepaliveMs?: number;
  /** A connection whose ping is not answered in this time is dead, in ms; default 10 s. */
  readonly keepaliveTimeoutMs?: number;
}

export type UpstreamState = 'idle' | 'connecting' | 'ready' | 'failing';

export interface Upstream {
  readonly name: string;
  /** Rejects with UNAVAILABLE when the service cannot be reached; addresses are never named. */
  readonly invoke: Invoke;
  /** Of the connection. `idle`: none was needed yet, or the last one went away. */
  state(): UpstreamState;
  /** Begins to connect, if it is not connected, without waiting for a call. */
  connect(): void;
  /**
   * Calls `back` whenever a connection that was lost is there again: the service may be another one now. Keeps the
   * connection up until the result is called.
   */
  onReconnect(back: () => void): () => void;
  /** Fails the calls that are still running with UNAVAILABLE and closes the connection. */
  close(): Promise<void>;
}

/** Until a service may have room again, in ms: not the same for all who wait. */
const BUSY_MS = 1000;

export function createGrpcUpstream(options: GrpcUpstreamOptions): Upstream {
  const { name, address, acceptMs = 200, connectMs = 5_000, maxReplyBytes = 4 * 1024 * 1024 } = options;
  const maxCalls = options.maxCalls || Number.POSITIVE_INFINITY;
  const channel = new Channel(
    address,
    channelCredentials(options.tls),
    channelOptions(options, maxReplyBytes),
  );
  const running = new Set<Running>();
  const link: Link = { name, address, acceptMs, connectMs, maxReplyBytes, channel, running };
  let closed: StatusError | undefined;

  return {
    name,
    invoke(call) {
      if (closed) return Promise.reject(closed);
      if (running.size >= maxCalls) return Promise.reject(busy(name, maxCalls));
      const reply = call.method.serverStreaming ? new StreamReply(link, call) : new SingleReply(link, call);
      return reply.begin().accepted;
    },
    state: () => (closed ? 'idle' : STATES[channel.getConnectivityState(false)]),
    connect() {
      if (!closed) channel.getConnectivityState(true);
    },
    onReconnect: (back) => (closed ? () => {} : watchReconnects(channel, back)),
    async close() {
      if (closed) return;
      closed = new StatusError(Code.UNAVAILABLE, 'the gateway is stopping');
      for (const each of [...running]) each.fail(closed);
      channel.close();
    },
  };
}

/** Not RESOURCE_EXHAUSTED: it is no quota of the caller's. */
function busy(name: string, maxCalls: number): StatusError {
  return new StatusError(Code.UNAVAILABLE, `${name}: ${maxCalls} calls are running`, {
    details: [retryInfo(BUSY_MS * (1 + Math.random()))],
    limit: 'calls_per_upstream',
  });
}

const STATES: Readonly<Record<connectivityState, UpstreamState>> = {
  [connectivityState.IDLE]: 'idle',
  [connectivityState.CONNECTING]: 'connecting',
  [connectivityState.READY]: 'ready',
  [connectivityState.TRANSIENT_FAILURE]: 'failing',
  [connectivityState.SHUTDOWN]: 'idle',
};

function channelOptions(options: GrpcUpstreamOptions, maxReplyBytes: number): ChannelOptions {
  return {
    ...nameOptions(options.tls),
    'grpc.max_receive_message_length': maxReplyBytes,
    // The doors limit what clients send.
    'grpc.max_send_message_length': -1,
    'grpc.keepalive_time_ms': options.keepaliveMs ?? 330_000,
    'grpc.keepalive_timeout_ms': options.keepaliveTimeoutMs ?? 10_000,
    // A service that restarts is back within this time, whether a call asks for it or not.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2_000,
    'grpc.dns_min_time_between_resolutions_ms': 1_000,
    // Messages are kept for a transparent retry up to this size only; beyond it, writes wait for the service.
    'grpc.per_rpc_retry_buffer_size': 64 * 1024,
    'grpc.primary_user_agent': 'tidegate',
    // Own connections for each upstream, so that closing it closes them.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_channelz': 0,
    'grpc.service_config_disable_resolution': 1,
    // The environment is read by the configuration alone.
    'grpc.enable_http_proxy': 0,
  };
}
