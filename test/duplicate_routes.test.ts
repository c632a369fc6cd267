/** Contracts in which two methods declare one route, as published ones do. */
import { describe, expect, test } from 'vitest';
import { buildTable, type Match, type Table } from '../gateway/http/table.js';
import { printProblem } from '../src/contract/contract.js';
import { shopContract, shopMethod } from './support/shop.js';

const contract = shopContract(
  shopMethod([{ template: '/a/{id}' }], { name: 'One' }),
  shopMethod([{ template: '/a/{id=*}' }], { name: 'Two' }),
  shopMethod([{ template: '/a/{id}' }, { template: '/b/{id}' }], { name: 'Three' }),
);

function served(table: Table, verb: string, path: string): string | undefined {
  const found = table.router.match(verb, path) as { readonly match?: Match } | undefined;
  return found?.match?.endpoint.method.name;
}

describe('with `first`', () => {
  const table = buildTable(contract, {}, { duplicates: 'first' });

  test('the method that was declared first serves the route', () => {
    expect(served(table, 'GET', '/a/5')).toBe('shop.v1.Shop/One');
  });

  test('the others keep their other routes, and their names', () => {
    expect(served(table, 'GET', '/b/5')).toBe('shop.v1.Shop/Three');
    expect(served(table, 'POST', '/shop.v1.Shop/Two')).toBe('shop.v1.Shop/Two');
  });

  test('a route that nobody reaches is not listed, but told', () => {
    expect(table.endpoints.map(({ method, rule }) => `${method.name} ${rule.verb} ${rule.template}`)).toEqual(
      [
        'shop.v1.Shop/One GET /a/{id}',
        'shop.v1.Shop/Two POST /shop.v1.Shop/Two',
        'shop.v1.Shop/Three GET /b/{id}',
      ],
    );
    const first = 'the same requests already go to shop.proto:3: shop.v1.Shop/One: GET /a/{id}';
    expect(table.shadowed.map(printProblem)).toEqual([
      `shop.proto:3: shop.v1.Shop/Two: GET /a/{id=*}: ${first}`,
      `shop.proto:3: shop.v1.Shop/Three: GET /a/{id}: ${first}`,
    ]);
  });

  test('every other problem is one all the same', () => {
    const broken = shopContract(
      ...contract.methods,
      shopMethod([{ template: '/c/{nope}' }], { name: 'Four' }),
    );
    expect(() => buildTable(broken, {}, { duplicates: 'first' })).toThrow(/^(?!.*already go).*nope/s);
  });
});

test('by default each of them is a problem', () => {
  expect(() => buildTable(contract, {})).toThrow(/Two.*\n.*Three/);
});
