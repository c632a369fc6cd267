/** Tables: what is wrong in a contract's rules is told before anything is served, and what is served where. */
import { describe, expect, test } from 'vitest';
import { buildTable } from '../gateway/http/table.js';
import { ContractError, printProblem } from '../src/contract/contract.js';
import type { HttpRule } from '../src/method.js';
import { readShop, shopContract, shopEndpoint, shopMethod } from './support/shop.js';

describe('a rule that the contract cannot keep is a problem', () => {
  const problems: [Partial<HttpRule> & { template: string }, string][] = [
    [{ template: '/v1/{nope}' }, 'variable nope: shop.v1.Request has no field "nope"'],
    [{ template: '/v1/{pageSize}' }, 'variable pageSize: shop.v1.Request has no field "pageSize"'],
    [{ template: '/v1/{order.nope}' }, 'variable order.nope: shop.v1.Order has no field "nope"'],
    [{ template: '/v1/{id.x}' }, 'variable id.x: "id" has no fields that can be set on their own'],
    [{ template: '/v1/{since.seconds}' }, 'variable since.seconds: "since" has no fields'],
    [{ template: '/v1/{tags}' }, 'variable tags: a path cannot set a repeated field'],
    [{ template: '/v1/{labels}' }, 'variable labels: a path cannot set a map'],
    [{ template: '/v1/{order}' }, 'variable order: a path cannot set a message of type shop.v1.Order'],
    [
      { template: '/v1/{extra}' },
      'variable extra: a path cannot set a message of type google.protobuf.Struct',
    ],
    [{ template: '/v1/{items.sku}' }, 'variable items.sku: "items" has no fields'],
    [{ template: '/v1/{token}/{offset}' }, 'variables token and offset: only one of a oneof can be set'],
    [
      { template: '/v1/{order.card}/{order.invoice.sku}' },
      'variables order.card and order.invoice.sku: only one',
    ],
    [{ template: '/v1/x', body: 'nope' }, 'body: shop.v1.Request has no field "nope"'],
    [{ template: '/v1/x', body: 'order.note' }, 'body: shop.v1.Request has no field "order.note"'],
    [{ template: '/v1/{id}', body: 'id' }, 'body: "id" is set by the path'],
    [{ template: '/v1/x', responseBody: 'nope' }, 'response_body: shop.v1.Reply has no field "nope"'],
    [{ template: '/v1/{id' }, 'column 5: the variable is not closed'],
    [{ verb: 'GE T', template: '/v1/x' }, '"GE T" is not an HTTP method'],
    [{ verb: '', template: '/v1/x' }, '"" is not an HTTP method'],
  ];
  test.each(problems)('%j', (rule, words) => {
    const [problem, ...others] = problemsOf(() => buildTable(shopContract(shopMethod([rule])), {}));
    expect(others).toEqual([]);
    expect(problem).toContain(`shop.proto:3: shop.v1.Shop/Do: ${rule.verb ?? 'GET'} ${rule.template}: `);
    expect(problem).toContain(words);
  });

  test('and all of them are told at once, with routes declared twice', () => {
    const one = shopMethod([
      { template: '/v1/{nope}' },
      { template: '/v1/{id}', body: 'nope' },
      { template: '/a/{id}' },
    ]);
    const two = shopMethod([{ template: '/a/{id}' }, { template: '/a' }, { template: '/a' }], {
      name: 'Two',
    });
    const found = problemsOf(() => buildTable(shopContract(one, two), {}));
    expect(found).toHaveLength(4);
    expect(found[2]).toBe(
      'shop.proto:3: shop.v1.Shop/Two: GET /a/{id}: the same requests already go to shop.proto:3: shop.v1.Shop/Do: GET /a/{id}',
    );
  });

  test('but a body is none on any HTTP method', () => {
    for (const verb of ['GET', 'DELETE', 'HEAD', 'QUERY']) {
      const { binding } = shopEndpoint({ verb, template: '/v1/{id}', body: '*' });
      expect(readShop(binding.bind(['x'], '').json({ hint: 'y' }))).toEqual({ id: 'x', hint: 'y' });
    }
  });
});

describe('a table', () => {
  const routed = shopMethod([{ template: '/v1/{id}' }, { verb: 'POST', template: '/v1', body: 'order' }]);
  const bare = shopMethod([], { name: 'Bare' });
  const own = shopMethod([{ verb: 'POST', template: '/shop.v1.Shop/Own', body: 'order' }], { name: 'Own' });
  const claimed = shopMethod([{ verb: '*', template: '/shop.v1.Shop/Claimed' }], { name: 'Claimed' });
  const table = buildTable(shopContract(routed, bare, own, claimed), {});
  const reach = (verb: string, path: string) => {
    const result = table.router.match(verb, path);
    return result && 'match' in result ? result.match.endpoint : undefined;
  };

  test('lists declared routes in their order, and the one of a method that declares none', () => {
    expect(table.endpoints.map(({ rule }) => `${rule.verb} ${rule.template}`)).toEqual([
      'GET /v1/{id}',
      'POST /v1',
      'POST /shop.v1.Shop/Bare',
      'POST /shop.v1.Shop/Own',
      '* /shop.v1.Shop/Claimed',
    ]);
  });
  test('serves every method under its name, unless the contract has other plans', () => {
    for (const name of ['Do', 'Bare']) {
      const endpoint = reach('POST', `/shop.v1.Shop/${name}`);
      expect(endpoint).toBe(table.byName.get(`shop.v1.Shop/${name}`));
      expect(endpoint?.rule).toMatchObject({ body: '*', responseBody: '' });
    }
    expect(reach('POST', '/shop.v1.Shop/Own')?.rule.body).toBe('order');
    expect(reach('POST', '/shop.v1.Shop/Claimed')?.rule.verb).toBe('*');
    expect(table.byName.get('shop.v1.Shop/Own')?.rule.body).toBe('*');
    expect(table.byName.size).toBe(4);
  });
});
test('a route on a path of the gateway itself is a problem where there is such a gateway', () => {
  const contract = shopContract(shopMethod([{ template: '/healthz' }, { template: '/{id}' }]));
  expect(buildTable(contract, {}).endpoints).toHaveLength(2);
  expect(problemsOf(() => buildTable(contract, {}, { own: new Set(['/healthz']) }))).toEqual([
    'shop.proto:3: shop.v1.Shop/Do: GET /healthz: the gateway answers this path itself',
  ]);
});

function problemsOf(run: () => unknown): string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ContractError) return error.problems.map(printProblem);
    throw error;
  }
  return [];
}
