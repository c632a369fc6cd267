/** The connection to NATS, and requests to its JetStream (the JSON of its API: docs.nats.io/reference/reference-protocols/nats_api_reference). */
import type { Msg, NatsConnection, TlsOptions } from '@nats-io/transport-node';
import { BrokerError } from './broker.js';
import { type Connection, keepConnected, Refusal } from './connection.js';

export interface NatsLinkOptions {
  readonly url: URL;
  /** The URL without its password, for errors. */
  readonly shown: string;
  /** How long a call may take. */
  readonly callMs: number;
  /** Called on each new connection before it counts as connected. */
  prepare(client: NatsConnection): Promise<void>;
  /** Connected, or no longer. */
  changed(connected: boolean): void;
}

/** What JetStream has answered: that it will not. */
export class ApiError extends BrokerError {
  /** @param code of the server's errors.json; NO_RESPONDERS when nothing serves the subject. */
  constructor(
    message: string,
    readonly code: number,
  ) {
    super(message);
  }
}

export const NO_RESPONDERS = 503;

export interface NatsLink extends Connection<NatsConnection> {
  /** Of a message with its headers, in bytes, as the server has said when it was connected to last. */
  readonly mostBytes: () => number;
  /** How long a call may take. */
  readonly callMs: number;
  /** How often it has been connected: nothing that was learned before the present connection has to be true still. */
  readonly times: () => number;
  /** A request to the JetStream API. Rejects with BrokerError, which is an ApiError if that is the answer. */
  api<T>(verb: string, body?: object): Promise<T>;
  /** Any request that JetStream answers. */
  ask<T>(subject: string, data: Uint8Array | string, headers?: Readonly<Record<string, string>>): Promise<T>;
}

/** JetStream of the server that first had all that is used here. */
const OLDEST = [2, 9] as const;

export async function connectNats(options: NatsLinkOptions): Promise<NatsLink> {
  // Imported here: a gateway without NATS does not pay for it.
  const nats = await import('@nats-io/transport-node');
  const { NodeTransport, nodeResolveHost } = await import('@nats-io/transport-node/lib/node_transport.js');
  const { url, shown, callMs } = options;
  let mostBytes = 1 << 20;
  let times = 0;

  /** The library leaves the socket of a connection open that was not made in time. */
  class Transport extends NodeTransport {
    override async close(error?: Error): Promise<void> {
      await super.close(error);
      this.discard();
    }
  }
  const connectOptions = {
    servers: `${url.hostname}:${url.port || 4222}`,
    ...credentials(url),
    // The library hands these on to Node, and names a host to it only where that is a name: an address would not be looked for in a certificate.
    ...(url.protocol === 'tls:' ? { tls: { host: url.hostname.replace(/^\[|\]$/g, '') } as TlsOptions } : {}),
    name: 'tidegate',
    reconnect: false,
    maxReconnectAttempts: 1,
    ignoreClusterUpdates: true,
    timeout: callMs,
    // The heartbeat is ours.
    pingInterval: 3_600_000,
    noAsyncTraces: true,
  };

  function dial(failed: (error: unknown) => void): {
    client: Promise<NatsConnection>;
    destroy: () => void;
  } {
    nats.setTransportFactory({ factory: () => new Transport(), dnsResolveFn: nodeResolveHost });
    let client: NatsConnection | undefined;
    let destroyed = false;
    const close = (): void => void client?.close().catch(() => {});
    const made = nats.NatsConnectionImpl.connect(connectOptions).then(async (connected) => {
      client = connected;
      if (destroyed) close();
      connected.closed().then((error) => failed(error ?? new Error('the server has closed the connection')));
      await greet(connected);
      await options.prepare(connected);
      mostBytes = connected.info?.max_payload ?? mostBytes;
      times++;
      return connected as NatsConnection;
    });
    return {
      client: made,
      destroy() {
        destroyed = true;
        close();
      },
    };
  }

  /** The server's version, and that it has a JetStream. */
  async function greet(client: NatsConnection): Promise<void> {
    const { version = '', jetstream } = client.info ?? {};
    const [major = 0, minor = 0] = version.split('.').map(Number);
    if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
      throw new Refusal(`NATS ${version} is too old: ${OLDEST.join('.')} is needed`);
    }
    const answer = await request(client, '$JS.API.INFO', '').catch((error: unknown) => {
      const without = error instanceof nats.RequestError && error.isNoResponders() && !jetstream;
      throw without ? new Refusal('the server runs without JetStream') : error;
    });
    const { error } = answer.json<Answer>();
    // 10039: not for this account, 10076: not at all.
    if (error?.err_code === 10039 || error?.err_code === 10076) throw new Refusal(error.description);
    if (error) throw new Error(error.description);
  }

  // The connection's own limit of a call comes first: this one is never reached.
  const request = (client: NatsConnection, subject: string, data: Uint8Array | string): Promise<Msg> =>
    client.request(subject, data, { timeout: callMs * 2 });

  const connection = keepConnected<NatsConnection>({
    shown,
    callMs,
    dial,
    ping: (client) => client.flush(),
    isRefusal: (error) =>
      error instanceof Refusal || error instanceof nats.AuthorizationError || isPermission(error),
    changed: options.changed,
  });
  const isPermission = (error: unknown): boolean =>
    error instanceof nats.RequestError && error.cause instanceof nats.PermissionViolationError;

  const ask: NatsLink['ask'] = (subject, data, headers) =>
    connection.use(`${shown}: ${subject}`, async (client) => {
      const set = headers && nats.headers();
      if (set) for (const [name, value] of Object.entries(headers)) set.set(name, value);
      const answer = await client
        .request(subject, data, { timeout: callMs * 2, ...(set && { headers: set }) })
        .catch((error: unknown) => {
          if (!(error instanceof nats.RequestError && error.isNoResponders())) throw error;
          throw new ApiError(`${shown}: ${subject}: nobody serves it`, NO_RESPONDERS);
        });
      const result = answer.json<Answer>();
      if (result.error) {
        const { description, err_code } = result.error;
        throw new ApiError(`${shown}: ${subject}: ${description}`, err_code);
      }
      return result as never;
    });

  return {
    ...connection,
    callMs,
    mostBytes: () => mostBytes,
    times: () => times,
    ask,
    api: (verb, body) => ask(`$JS.API.${verb}`, body === undefined ? '' : JSON.stringify(body)),
  };
}

interface Answer {
  readonly error?: { readonly description: string; readonly err_code: number };
}

/** `user:password@`, or a token before the `@`. */
function credentials({ username, password }: URL): Readonly<Record<string, string>> {
  if (username === '') return {};
  const [user, pass] = [username, password].map(decodeURIComponent) as [string, string];
  return password === '' ? { token: user } : { user, pass };
}
