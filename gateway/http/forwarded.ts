/** Who asked, as a service should see it: `x-forwarded-*` of the proxies that are trusted, never of the client. */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Metadata } from '../../src/call.js';

/** A host and its port, as they may stand in a URL (RFC 3986 section 3.2). */
const HOST = /^(?:[\w.~-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?$/;
const WITH_PORT = /^(?:\[([0-9a-fA-F:.]+)\]|([\d.]+))(?::\d{1,5})?$/;

function list(header: string | readonly string[] | undefined): string[] {
  const text = typeof header === 'object' ? header.join(',') : header;
  return text === undefined ? [] : text.split(',').map((entry) => entry.trim());
}

/** An address without brackets and port, which some proxies add; undefined for anything that is no address. */
function addressOf(entry: string): string | undefined {
  const parts = WITH_PORT.exec(entry);
  const address = parts === null ? entry : (parts[1] ?? (parts[2] as string));
  return isIP(address) === 0 ? undefined : address;
}

/** Each of the `hops` proxies has added the address that spoke to it: what stands before those is the client's own word. */
function addresses(request: IncomingMessage, hops: number): string[] {
  const { remoteAddress } = request.socket;
  const chain = remoteAddress === undefined ? [] : [remoteAddress];
  if (hops === 0) return chain;
  for (const entry of list(request.headers['x-forwarded-for']).slice(-hops).reverse()) {
    const address = addressOf(entry);
    if (address === undefined) break;
    chain.unshift(address);
  }
  return chain;
}

/** The client, as the outermost trusted proxy has seen it; undefined for a connection that has no address, or has none any more. */
export function clientAddress(request: IncomingMessage, hops: number): string | undefined {
  return addresses(request, hops)[0];
}

/** What the outermost trusted proxy said: of a list one entry for each proxy, of a single value that one. */
function saidByOutermost(header: string | readonly string[] | undefined, hops: number): string | undefined {
  if (hops === 0) return undefined;
  const said = list(header);
  return said.at(-hops) ?? said[0];
}

/** The host that the client asked, as far as the trusted proxies tell. */
export function hostOf({ headers }: IncomingMessage, hops: number): string | undefined {
  const said = saidByOutermost(headers['x-forwarded-host'], hops);
  return said !== undefined && HOST.test(said) ? said : headers.host;
}

/** `http` or `https`, as the client asked, as far as the trusted proxies tell. */
export function protoOf({ headers, socket }: IncomingMessage, hops: number): string {
  const said = saidByOutermost(headers['x-forwarded-proto'], hops)?.toLowerCase();
  if (said === 'http' || said === 'https') return said;
  return (socket as TLSSocket).encrypted === true ? 'https' : 'http';
}

/**
 * `x-forwarded-for`: the client's address first, then those of the proxies but the nearest to us, as `hops` proxies before
 * the gateway have seen them; with 0, the peer's alone. `x-forwarded-proto` is `http` or `https`; `x-forwarded-host` is
 * absent for a client that named no host.
 */
export function forwardedOf(request: IncomingMessage, hops: number): Metadata {
  const metadata: Record<string, string> = { 'x-forwarded-proto': protoOf(request, hops) };
  const chain = addresses(request, hops);
  if (chain.length > 0) metadata['x-forwarded-for'] = chain.join(', ');
  const host = hostOf(request, hops);
  if (host !== undefined) metadata['x-forwarded-host'] = host;
  return metadata;
}
