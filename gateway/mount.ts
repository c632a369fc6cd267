/** WebSocket handshakes on an HTTP server of somebody else's, beside whatever else listens for upgrades there. */
import type { IncomingMessage, Server } from 'node:http';
import type { Server as SecureServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { declineUpgrade, isWebSocket, type UpgradeListener } from './http/upgrade.js';

export interface AttachOptions {
  /** What our paths begin with on this server, for example `/api` as in `app.use('/api', gateway.middleware)`; default nothing. */
  readonly path?: string;
}

export interface AttachedDoor {
  /** Whether a path, without a query, is one of ours. */
  readonly claims: (path: string) => boolean;
  readonly upgrade: UpgradeListener;
}

/**
 * Takes the handshakes for our paths, until the result is called. Other listeners never hear of those: several libraries refuse
 * whatever they do not know, ws among them with `{ server, path }`. That is why the event is taken, and not only listened to.
 */
export function attachUpgrades(
  given: Server | SecureServer,
  { claims, upgrade }: AttachedDoor,
  { path = '' }: AttachOptions = {},
): () => void {
  const server = given as Server;
  const mount = path.replace(/\/$/, '');
  let attached = true;
  const urlOf = (request: IncomingMessage): string | undefined => {
    const url = request.url ?? '';
    if (!attached || !isWebSocket(request) || !url.startsWith(`${mount}/`)) return undefined;
    const inner = url.slice(mount.length);
    return claims(inner.split('?', 1)[0] as string) ? inner : undefined;
  };

  const emit = server.emit;
  const taking = function (this: Server, event: string | symbol, ...rest: unknown[]): boolean {
    if (event !== 'upgrade') return Reflect.apply(emit, this, [event, ...rest]) as boolean;
    const [request, socket, head] = rest as [IncomingMessage, Duplex, Buffer];
    const url = urlOf(request);
    if (url === undefined) return Reflect.apply(emit, this, [event, ...rest]) as boolean;
    request.url = url;
    upgrade(request, socket, head);
    return true;
  };
  server.emit = taking as typeof emit;

  // Without a listener, Node would not tell of upgrades at all. What nobody else wants is served as a plain request.
  const rest: UpgradeListener = (request, socket, head) => {
    if (server.listenerCount('upgrade') === 1) declineUpgrade(server, request, socket, head);
  };
  server.on('upgrade', rest);

  return () => {
    // Somebody may have put another function over ours since, which still calls it.
    attached = false;
    server.off('upgrade', rest);
    if (server.emit === (taking as typeof emit)) server.emit = emit;
  };
}
