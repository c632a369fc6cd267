/** Headers that the configuration keeps from the services. */
import { describe, expect, test } from 'vitest';
import { ConfigError, loadConfig } from '../gateway/config.js';
import { type Call, chain, type Metadata, type Reply } from '../src/call.js';
import { strip } from '../src/policy/strip.js';

const REPLY: Reply = { headers: {}, messages: new Uint8Array(), trailers: () => ({}) };

/** The metadata that a service is called with. */
async function seen(names: readonly string[], metadata: Metadata): Promise<Metadata> {
  let received: Metadata = {};
  const invoke = chain([strip(names)], (call) => {
    received = call.metadata;
    return Promise.resolve(REPLY);
  });
  expect(await invoke({ metadata } as Call)).toBe(REPLY);
  return received;
}

describe('strip', () => {
  test('takes the named headers out, and only those', async () => {
    const metadata = {
      authorization: 'Bearer x',
      cookie: ['a=1', 'b=2'],
      'x-tenant': 't',
      'x-many': ['1', '2'],
    };
    expect(await seen(['authorization', 'cookie'], metadata)).toEqual({
      'x-tenant': 't',
      'x-many': ['1', '2'],
    });
    expect(Object.keys(metadata)).toHaveLength(4);
  });

  test('of nothing passes the call itself', async () => {
    const metadata = { authorization: 'Bearer x' };
    expect(await seen([], metadata)).toBe(metadata);
  });
});

describe('the setting', () => {
  const load = (...argv: string[]) => loadConfig({ argv: ['--upstream', 'localhost:1', ...argv], env: {} });

  test('takes names in any case', () => {
    expect(load('--strip-header', 'Authorization', '--strip-header', 'cookie').stripHeaders).toEqual([
      'authorization',
      'cookie',
    ]);
  });

  test.each(['', 'two words', 'x:y', 'kö'])('refuses %j, which is no name of a header', (name) => {
    expect(() => load(`--strip-header=${name}`)).toThrow(ConfigError);
  });
});
