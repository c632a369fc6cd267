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

/** A door below its path, without a slash at its end. */
interface Attachment extends AttachedDoor {
  readonly mount: string;
}

/** All that is attached to one server. */
interface Taken {
  readonly attachments: Set<Attachment>;
  /** Makes the server as it was. */
  readonly giveBack: () => void;
}

/** By server: several gateways on one must not take each other for somebody else. */
const servers = new WeakMap<Server, Taken>();

/**
 * Takes the handshakes for our paths, until the result is called. Other listeners never hear of those: several libraries refuse
 * whatever they do not know, ws among them with `{ server, path }`. That is why the event is taken, and not only listened to.
 * Of several attachments that claim a path, the oldest has it.
 */
export function attachUpgrades(
  given: Server | SecureServer,
  door: AttachedDoor,
  { path = '' }: AttachOptions = {},
): () => void {
  const server = given as Server;
  const attachment: Attachment = { ...door, mount: path.replace(/\/$/, '') };
  let taken = servers.get(server);
  if (taken === undefined) {
    taken = take(server);
    servers.set(server, taken);
  }
  const { attachments, giveBack } = taken;
  attachments.add(attachment);

  return () => {
    if (!attachments.delete(attachment) || attachments.size > 0) return;
    servers.delete(server);
    giveBack();
  };
}

function take(server: Server): Taken {
  const attachments = new Set<Attachment>();
  const emit = server.emit;
  const taking = function (this: Server, event: string | symbol, ...rest: unknown[]): boolean {
    if (event === 'upgrade') {
      const [request, socket, head] = rest as [IncomingMessage, Duplex, Buffer];
      if (offer(attachments, request, socket, head)) return true;
    }
    return Reflect.apply(emit, this, [event, ...rest]) as boolean;
  };
  server.emit = taking as typeof emit;

  // Without a listener, Node would not tell of upgrades at all. What nobody else wants is served as a plain request.
  const rest: UpgradeListener = (request, socket, head) => {
    if (server.listenerCount('upgrade') === 1) declineUpgrade(server, request, socket, head);
  };
  server.on('upgrade', rest);

  const giveBack = (): void => {
    server.off('upgrade', rest);
    // Somebody may have put another function over ours since, which still calls it.
    if (server.emit === (taking as typeof emit)) server.emit = emit;
  };
  return { attachments, giveBack };
}

/** Whether one of the attachments has taken the handshake. */
function offer(
  attachments: ReadonlySet<Attachment>,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): boolean {
  if (!isWebSocket(request)) return false;
  const { url = '' } = request;
  for (const { mount, claims, upgrade } of attachments) {
    if (!url.startsWith(`${mount}/`)) continue;
    const inner = url.slice(mount.length);
    if (!claims(inner.split('?', 1)[0] as string)) continue;
    request.url = inner;
    upgrade(request, socket, head);
    return true;
  }
  return false;
}
