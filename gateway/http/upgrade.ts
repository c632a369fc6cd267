/** HTTP upgrades that we do not follow: the request is served as if it had not offered one (RFC 9110 section 7.8). */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';

/** Node's listener for the `upgrade` event of a server. */
export type UpgradeListener = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

const OFFER = new Set(['upgrade', 'http2-settings']);

/** Whether this is a handshake for WebSocket, not for example `Upgrade: h2c`, which Java's HttpClient sends by default. */
export function isWebSocket(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === 'websocket';
}

/**
 * Gives the connection back to the server with the offer removed from the request. Node hands every request with an
 * Upgrade header over once there is a listener for upgrades, with its body still unparsed: so it is parsed anew.
 */
export function declineUpgrade(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const lines = [`${request.method} ${request.url} HTTP/${request.httpVersion}`];
  for (let at = 0; at + 1 < request.rawHeaders.length; at += 2) {
    const name = request.rawHeaders[at] as string;
    const value = request.rawHeaders[at + 1] as string;
    if (name.toLowerCase() === 'connection') lines.push(`${name}: ${withoutOffer(value)}`);
    else if (!OFFER.has(name.toLowerCase())) lines.push(`${name}: ${value}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit('encrypted' in socket ? 'secureConnection' : 'connection', socket);
}

/** The other options of a Connection header stay: `close`, and the names of headers that are for this connection only. */
function withoutOffer(connection: string): string {
  const options = connection.split(',').map((option) => option.trim());
  return options.filter((option) => !OFFER.has(option.toLowerCase())).join(', ');
}
