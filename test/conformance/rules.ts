/** Rules of the HTTP doors as cases: what is sent to a running gateway, and what service and client see of it. */
import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http';
import { expect, test } from 'vitest';
import type { JsonObject, JsonValue } from '../../src/codec/codec.js';
import { loadContract } from '../../src/contract/load.js';
import { startGateway } from '../support/gateway.js';
import { ROOT } from '../support/probe.js';
import { type EchoService, startEcho, type Types, typesOf } from './echo.js';

export const ECHO_PROTO = `${ROOT}test/conformance/echo.proto`;

export interface Ask {
  /** `GET /v1/things?x=1`, sent as it is: no library in between tidies it up. */
  readonly send: string;
  readonly headers?: OutgoingHttpHeaders;
  /** Text and bytes go as they are, anything else as JSON. */
  readonly body?: unknown;
  /** Content-Type of the body; default application/json, and none for `''`. */
  readonly type?: string;
}

/** An answer of the gateway, read to its end. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Whether it ended as its framing says, rather than cut. */
  readonly complete: boolean;
}

/** One rule: what is sent, and what the service sees, what the client gets, or how it is refused. */
export interface Rule extends Ask {
  /** The rule in short: the title of the test. */
  readonly rule: string;
  /** The request that the service received, as canonical JSON. */
  readonly sees?: JsonValue;
  /** The JSON that the client gets with 200. */
  readonly gets?: JsonValue;
  /** The HTTP status of a refusal. */
  readonly refused?: number;
  /** What the refusal says: all of it, or a part. */
  readonly says?: string | RegExp;
  /** Headers that the answer has. */
  readonly has?: Readonly<Record<string, string>>;
}

/** The echo service and a gateway in front of it. */
export interface Door extends Types {
  readonly port: number;
  readonly service: EchoService;
  ask(asked: Ask): Promise<Answer>;
  close(): Promise<void>;
}

/** Starts both, the gateway with these further flags. */
export async function startDoor(...flags: string[]): Promise<Door> {
  const contract = await loadContract({
    protos: [ECHO_PROTO],
    includes: [],
    descriptors: [],
    upstreams: [{ name: 'u1', services: [] }],
  });
  const types = typesOf(contract.types);
  const service = await startEcho(types);
  const gateway = await startGateway(service.address, ['--proto', ECHO_PROTO, ...flags]);
  return {
    ...types,
    port: gateway.port,
    service,
    ask: (asked) => ask(gateway.port, asked),
    close: async () => {
      await gateway.close();
      service.kill();
    },
  };
}

function bodyOf(body: unknown): string | Uint8Array | undefined {
  if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) return body;
  return JSON.stringify(body);
}

export function ask(port: number, { send, headers = {}, type, ...asked }: Ask): Promise<Answer> {
  const [method = '', path = ''] = send.split(' ');
  const body = bodyOf(asked.body);
  const framing: OutgoingHttpHeaders =
    body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
  if (body !== undefined && type !== '') framing['content-type'] = type ?? 'application/json';
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port,
      method,
      path,
      headers: { ...framing, ...headers },
      agent: false,
    };
    const sent = request(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      // A connection that is cut is an error too, and then closes.
      response
        .on('error', () => undefined)
        .on('close', () => {
          const { statusCode: status = 0, complete } = response;
          resolve({ status, headers: response.headers, text, complete });
        });
    });
    sent.on('error', reject).end(body);
  });
}

export const jsonOf = ({ text }: Answer): JsonObject => JSON.parse(text) as JsonObject;

/** The request that the service says it received. */
export function requestIn(answer: Answer): JsonValue {
  expect(answer.status, answer.text).toBe(200);
  return JSON.parse(String(jsonOf(answer).request)) as JsonValue;
}

/** The metadata that the service says it received. */
export function metadataIn(answer: Answer): Readonly<Record<string, string>> {
  expect(answer.status, answer.text).toBe(200);
  return jsonOf(answer).metadata as Record<string, string>;
}

async function check(door: Door, { rule, sees, gets, refused, says, has, ...asked }: Rule): Promise<void> {
  const answer = await door.ask(asked);
  if (sees !== undefined) expect(requestIn(answer)).toEqual(sees);
  if (gets !== undefined) expect(jsonOf(answer)).toEqual(gets);
  expect(answer.status, answer.text).toBe(refused ?? 200);
  if (says !== undefined) {
    const { message } = jsonOf(answer);
    if (typeof says === 'string') expect(message).toBe(says);
    else expect(message).toMatch(says);
  }
  if (has !== undefined) expect(answer.headers).toMatchObject(has);
}

/** A test for each rule. Rules whose tests need more than this are tests of their own. */
export function testRules(door: () => Door, rules: readonly Rule[]): void {
  for (const rule of rules) test(titleOf(rule), () => check(door(), rule));
}

function titleOf({ rule, send, body, refused }: Rule): string {
  const shown = body === undefined ? '' : ` ${Buffer.from(bodyOf(body) ?? '').toString('latin1')}`;
  const sent = `${send}${shown}`;
  return `${rule}: ${sent.length > 90 ? `${sent.slice(0, 90)}...` : sent}${refused ? ` -> ${refused}` : ''}`;
}
