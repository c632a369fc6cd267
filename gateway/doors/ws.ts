/** The WebSocket door: one call per socket on a route itself, many calls per socket at /ws. Wire: PROTOCOL.md. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { StatusError } from '../../src/status.js';
import { switchedOff } from '../auth/refusals.js';
import type { TokenSource } from '../config.js';
import { drainError } from '../drain.js';
import { notFound } from '../http/error.js';
import { MULTIPLEX_PATH } from '../http/own_paths.js';
import { readStreamRequest } from '../http/resume.js';
import type { Endpoint } from '../http/table.js';
import type { Caller, Gateway, Meter } from './door.js';
import { Senders } from './ws_acks.js';
import { bindLater } from './ws_bound.js';
import { SocketCall } from './ws_call.js';
import {
  checkHandshake,
  checkOrigin,
  checkUrl,
  listenEarly,
  pickProtocol,
  readOffer,
  refuse,
} from './ws_handshake.js';
import { createJsonFraming } from './ws_json.js';
import { createLive } from './ws_live.js';
import { cursorOf } from './ws_open.js';
import { PROTO_FRAMING } from './ws_proto.js';
import { Session } from './ws_session.js';
import { attach, ClosingWebSocket, type Connection, createSocket } from './ws_socket.js';

export interface WebSocketDoor {
  /** For `upgrade` of node:http: answers every one of them. Never throws. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Drains, if `gateway.draining` has not begun to, and resolves when every socket is gone. */
  close(): Promise<void>;
}

/** A handshake that is being looked at: the socket is not a WebSocket yet. */
interface Handshake {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  /** Known when the caller is. */
  id: string | undefined;
}

function destroy(this: Duplex): void {
  this.destroy();
}

export function createWebSocketDoor(gateway: Gateway): WebSocketDoor {
  const { limits, timeouts, auth } = gateway.config;
  const takesToken = (source: TokenSource): boolean => auth.sources.includes(source);
  const live = createLive(timeouts.drainMs);
  const senders = new Senders(gateway.raise, gateway.config.streams.ackTtlMs);
  const json = createJsonFraming((status) => gateway.table().codec.printStatus(status));
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: limits.frameBytes,
    perMessageDeflate: false,
    WebSocket: ClosingWebSocket,
    handleProtocols: (offered) => pickProtocol(offered) ?? false,
  });

  /** Becomes a WebSocket with what `start` puts on it, or is destroyed: then false. */
  const accept = (
    { request, socket, head, id }: Handshake,
    meter: Meter | undefined,
    start: (ws: ClosingWebSocket) => Connection,
  ): boolean => {
    let accepted = false;
    const addId = (headers: string[]): void => {
      headers.push(`X-Request-Id: ${id}`);
    };
    server.once('headers', addId);
    server.handleUpgrade(request, socket, head, (ws) => {
      accepted = true;
      ws.meter = meter;
      const connection = start(ws);
      attach(ws, socket, connection, live);
      live.add(connection, ws);
    });
    server.off('headers', addId);
    if (!accepted) meter?.close();
    return accepted;
  };

  /** Whoever holds the token of the subprotocol, if there is one. Rejects, or throws, like `identify`. */
  const identify = async (
    handshake: Handshake,
    endpoint: Endpoint | undefined,
    token: string | undefined,
  ): Promise<Caller> => {
    const { request } = handshake;
    if (token !== undefined) {
      if (!takesToken('subprotocol')) throw switchedOff('header sec-websocket-protocol');
      gateway.sources?.onlySubprotocol(request);
    }
    const caller = await gateway.identify(request, endpoint, token);
    handshake.id = caller.id;
    return caller;
  };

  const openSession = async (handshake: Handshake): Promise<void> => {
    const { request, socket } = handshake;
    const { protocol, token } = readOffer(request, true);
    const caller = await identify(handshake, undefined, token);
    const framing = protocol === 'tidegate.v1.proto' ? PROTO_FRAMING : json;
    const identifyAnew = (other: string): Caller | Promise<Caller> => {
      if (!takesToken('frames')) throw switchedOff('token');
      return gateway.identify(request, undefined, other);
    };
    const meter = gateway.limits?.open(caller);
    accept(handshake, meter, (ws) => {
      const line = createSocket(ws, socket);
      return new Session({ socket: line, framing, gateway, senders, caller, identify: identifyAnew, meter });
    });
  };

  /** What a policy refuses is still an HTTP response; what the service refuses is a close code, which browsers can see. */
  const openCall = async (handshake: Handshake, path: string, query: string): Promise<void> => {
    const { request, socket } = handshake;
    const table = gateway.table();
    const match = table.router.matchAny(path);
    if (match === undefined) throw notFound(path);
    const { endpoint, variables } = match;
    const { protocol, token } = readOffer(request, false);
    const caller = await identify(handshake, endpoint, token);
    const asked = readStreamRequest(request.headers, endpoint.method, query);
    const bound = bindLater(endpoint, variables, asked.query);
    const binary = protocol === undefined ? undefined : protocol === 'tidegate.v1.proto';
    // The call ends on the table that it began with.
    const call = new SocketCall({
      gateway,
      table,
      endpoint,
      bound,
      resume: endpoint.method.serverStreaming ? cursorOf(asked.resume) : undefined,
      caller,
      binary,
    });
    const meter = gateway.limits?.open(caller);
    const early = listenEarly(socket, handshake.head, () => call.gone());
    live.add(call, { terminate: () => socket.destroy() });
    try {
      await call.accepted();
    } catch (thrown) {
      early.stop();
      live.remove(call);
      meter?.close();
      throw thrown;
    }
    const accepted = accept({ ...handshake, head: early.stop() }, meter, (ws) => {
      call.run(createSocket(ws, socket)).catch((thrown: unknown) => {
        gateway.log.error({ err: thrown }, 'a WebSocket call could not be ended');
        ws.terminate();
      });
      return call;
    });
    if (accepted) return;
    call.gone();
    live.remove(call);
  };

  const open = async (handshake: Handshake): Promise<void> => {
    const { request, socket } = handshake;
    try {
      if (live.draining) throw drainError(gateway.draining);
      gateway.limits?.handshake(request);
      checkUrl(request, limits.urlBytes);
      checkHandshake(request);
      checkOrigin(request, gateway.config);
      const url = request.url ?? '';
      const mark = url.indexOf('?');
      const path = mark === -1 ? url : url.slice(0, mark);
      const sent = mark === -1 ? '' : url.slice(mark + 1);
      const query = gateway.sources?.takeFromQuery(request, sent) ?? sent;
      if (path === MULTIPLEX_PATH) await openSession(handshake);
      else await openCall(handshake, path, query);
    } catch (thrown) {
      if (!(thrown instanceof StatusError))
        gateway.log.error({ err: thrown }, 'a WebSocket handshake failed');
      const error = StatusError.from(thrown);
      if (error.limit !== undefined) gateway.report(handshake.id ?? '', error);
      refuse({
        request,
        socket,
        error,
        codec: gateway.table().codec,
        http: gateway.config.http,
        id: handshake.id,
      });
    }
  };

  const drain = (): void => void live.drain();
  const forget = gateway.onRevoked?.((isRevoked) => live.revoke(isRevoked));
  gateway.draining.addEventListener('abort', drain, { once: true });

  return {
    upgrade(request, socket, head) {
      // Until it is a WebSocket, which listens for itself. An error closes the socket, and that is all we need to know.
      socket.on('error', destroy);
      open({ request, socket, head, id: undefined }).catch((thrown: unknown) => {
        gateway.log.error({ err: thrown }, 'a WebSocket handshake could not be answered');
        socket.destroy();
      });
    },
    async close() {
      gateway.draining.removeEventListener('abort', drain);
      forget?.();
      await live.drain();
    },
  };
}
