/** The address that a client is counted by. */
import type { IncomingMessage } from 'node:http';
import { clientAddress } from '../http/forwarded.js';

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/**
 * An IPv4 address as it is, also one that is mapped into IPv6; of another IPv6 address its /64, which is the least that one site has (RFC 6177), so that
 * whoever changes the rest stays who they are. Empty for none.
 */
export function addressKey(address: string | undefined): string {
  if (address === undefined) return '';
  if (!address.includes(':')) return address;
  const mapped = MAPPED.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = '', tail] = address.split('%', 1)[0]?.toLowerCase().split('::') ?? [];
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  // An IPv4 address at the end stands for two groups.
  const afterLength = after.length + (after.at(-1)?.includes('.') === true ? 1 : 0);
  const missing = tail === undefined ? 0 : Math.max(0, 8 - before.length - afterLength);
  const groups = [...before, ...Array<string>(missing).fill('0'), ...after].slice(0, 4);
  return `${groups.map((group) => group.replace(/^0+(?=.)/, '')).join(':')}::/64`;
}

/** Of a request, behind `trustedHops` proxies. Without any it is that of the connection, and read once for each. */
export function createPeerReader(trustedHops: number): (request: IncomingMessage) => string {
  if (trustedHops > 0) return createForwardedReader(trustedHops);
  const known = new WeakMap<object, string>();
  return ({ socket }) => {
    let key = known.get(socket);
    if (key === undefined) {
      key = addressKey(socket.remoteAddress);
      known.set(socket, key);
    }
    return key;
  };
}

/** Headers that are remembered, and how long one may be for that: reading one costs 2 us. */
const HEADERS = 2_000;
const HEADER_LENGTH = 100;

function createForwardedReader(hops: number): (request: IncomingMessage) => string {
  const known = new Map<string, string>();
  return (request) => {
    const header = request.headers['x-forwarded-for'];
    const text = typeof header === 'string' ? header : '';
    const found = known.get(text);
    if (found !== undefined) return found;
    const address = clientAddress(request, hops);
    const key = addressKey(address);
    // Where the header says nothing, it is the connection that does, and that is another one each time.
    if (text === '' || text.length > HEADER_LENGTH || address === request.socket.remoteAddress) return key;
    if (known.size >= HEADERS) known.clear();
    known.set(text, key);
    return key;
  };
}
