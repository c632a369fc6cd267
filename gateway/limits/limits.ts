/** All limits of one gateway on how much its clients may do, put together from the configuration. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { retryInfo } from '../../src/details.js';
import { type CallLimit, createCallLimit, rateExceeded } from '../../src/policy/limit.js';
import { Rates, type Sharing } from '../../src/policy/rates.js';
import { Code, StatusError } from '../../src/status.js';
import type { Config } from '../config.js';
import type { Gateway, SocketLimits } from '../doors/door.js';
import { createPeerReader } from './address.js';
import { type ConnectionGuard, createConnectionGuard } from './connections.js';
import { createExchanges } from './exchanges.js';
import { guardIdentity, guardTokens } from './identity.js';
import { createSocketCount } from './sockets.js';

export interface Limits {
  /** For the server: connections. */
  readonly guard: ConnectionGuard;
  /** For the chain: calls and streams. */
  readonly calls: CallLimit;
  /** For the WebSocket door. */
  readonly sockets: SocketLimits;
  /** For requests that never become calls: throws LimitError. */
  readonly count: (request: IncomingMessage) => void;
  /** Before a token is verified: throws LimitError for an address that had too many refused. */
  readonly mayTry: (request: IncomingMessage) => void;
  /** `identify` with the client's address, counting the tokens that it refuses. */
  identify(identify: Gateway['identify']): Gateway['identify'];
  /** Hears of each request and handshake before anybody else. */
  readonly request: (request: IncomingMessage, response: ServerResponse) => void;
  readonly upgrade: (request: IncomingMessage, socket: Duplex) => void;
  /** Callers that are remembered. */
  readonly callers: () => number;
}

export interface LimitsOptions {
  readonly config: Pick<Config, 'limits' | 'http' | 'trustedHops'>;
  /** Told of every limit that was reached but by what becomes an error of a call or a request. */
  readonly reached: (limit: string) => void;
  /** Counts what is done a second together with other nodes; default: nobody does. */
  readonly share?: ((limit: string, perSecond: number) => Sharing) | undefined;
}

/** Handshakes that were too much for the whole gateway come back after this time, and not all at once, in ms. */
const STORM_MS = 2000;
/** The one key of what is not counted for each caller. */
const ALL = '';
const NOTHING = (): void => {};

export function createLimits({ config, reached, share }: LimitsOptions): Limits {
  const { limits, trustedHops, http } = config;
  const peerOf = createPeerReader(trustedHops);
  const rates = (name: string, perSecond: number): Rates | undefined => {
    if (perSecond === 0) return undefined;
    const sharing = share?.(name, perSecond);
    return new Rates({ perSecond, ...(sharing && { share: sharing }) });
  };
  const requests = rates('requests', limits.requestsPerSecond);
  const messages = rates('messages', limits.messagesPerSecond);
  const badTokens = rates('bad_tokens', limits.badTokensPerSecond);
  const ofAddress = rates('handshakes_per_address', limits.handshakesPerAddress);
  const handshakes =
    limits.handshakesPerSecond === 0 ? undefined : new Rates({ perSecond: limits.handshakesPerSecond });
  const behindProxies = trustedHops > 0 && limits.connectionsPerAddress > 0;
  const exchanges = behindProxies ? createExchanges(limits.connectionsPerAddress, peerOf) : undefined;

  const take = (policy: string, counted: Rates | undefined, request: IncomingMessage): void => {
    const peer = counted === undefined ? '' : peerOf(request);
    if (counted === undefined || peer === '') return;
    const retryMs = counted.take(peer);
    if (retryMs > 0) throw rateExceeded(policy, counted, { retryMs, subject: `address:${peer}` });
  };
  return {
    guard: createConnectionGuard({
      total: limits.connections,
      perAddress: trustedHops > 0 ? 0 : limits.connectionsPerAddress,
      http,
      reached,
    }),
    calls: createCallLimit({ requests, streams: limits.streamsPerPrincipal }),
    sockets: {
      handshake(request) {
        take('handshakes_per_address', ofAddress, request);
        if (handshakes === undefined || handshakes.take(ALL) === 0) return;
        throw storm(handshakes.perSecond);
      },
      open: createSocketCount({ messages, perPrincipal: limits.connectionsPerPrincipal, reached }),
    },
    count: (request) => take('requests', requests, request),
    mayTry: guardTokens({ peerOf, badTokens }),
    identify: (identify) => guardIdentity(identify, { peerOf, badTokens, exchanges }),
    request: exchanges?.request ?? NOTHING,
    upgrade: exchanges?.upgrade ?? NOTHING,
    callers: () =>
      [requests, messages, badTokens, ofAddress].reduce((sum, counted) => sum + (counted?.size ?? 0), 0),
  };
}

/** Whose fault it is not: everybody comes back at once. */
function storm(perSecond: number): StatusError {
  return new StatusError(Code.UNAVAILABLE, `handshakes: more than ${perSecond} a second`, {
    details: [retryInfo(STORM_MS * (1 + Math.random()))],
    limit: 'handshakes',
  });
}
