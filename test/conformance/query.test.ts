/** The query, rule by rule: which field a parameter means, and which texts a field of each type takes. */
import { afterAll, beforeAll, describe } from 'vitest';
import { type Door, type Rule, startDoor, testRules } from './rules.js';

let door: Door;
beforeAll(async () => {
  door = await startDoor();
});
afterAll(() => door.close());
const at = () => door;

const ok = (rule: string, query: string, sees: NonNullable<Rule['sees']>): Rule => ({
  rule,
  send: `GET /f?${query}`,
  sees,
});
const bad = (rule: string, query: string, says: RegExp): Rule => ({
  rule,
  send: `GET /f?${query}`,
  refused: 400,
  says,
});

describe('a key is a field path', () => {
  testRules(at, [
    ok('by JSON name or proto name at each level', 'bigNumber=1&child.big_number=2', {
      bigNumber: '1',
      child: { bigNumber: '2' },
    }),
    bad('a name that is neither', 'BigNumber=1', /^query parameter "BigNumber": .*no such parameter/),
    bad('a path that ends in a message', 'child=x', /"child": a message is given field by field/),
    bad('a path through a scalar', 'id.x=1', /"id\.x": this route knows no such parameter/),
    bad('a path through a repeated message', 'children.id=x', /"children\.id"/),
    bad('an empty name', '=x', /query parameter ""/),
    ok('depth of 64', `${'child.'.repeat(63)}id=x`, nested(63)),
    bad('depth over 64', `${'child.'.repeat(64)}id=x`, /more than 64 levels/),
    ok('1,000 parameters', 'numbers=1&'.repeat(1000), { numbers: Array.from({ length: 1000 }, () => 1) }),
    bad('over 1,000 parameters', 'numbers=1&'.repeat(1001), /more than 1000 parameters/),
    bad('unknown, with the name', 'nobody=x', /query parameter "nobody": this route knows no such parameter/),
  ]);
});

function nested(levels: number): NonNullable<Rule['sees']> {
  return levels === 0 ? { id: 'x' } : { child: nested(levels - 1) };
}

describe('how often', () => {
  testRules(at, [
    ok('repeated scalars repeat the key', 'tags=a&tags=b&numbers=1', { tags: ['a', 'b'], numbers: [1] }),
    ok('a comma divides nothing', 'tags=a,b', { tags: ['a,b'] }),
    bad('nor for numbers', 'numbers=1,2', /"numbers": expected an int32, got "1,2"/),
    bad('a scalar given twice', 'id=a&id=a', /"id": given twice/),
    bad('a scalar given by both names', 'bigNumber=1&big_number=1', /given twice/),
    bad('a oneof given twice', 'card=a&cash=1', /only one of card and cash/),
    ok('one member of a oneof', 'cash=1', { cash: '1' }),
    bad('repeated messages', 'children=x', /"children": .*repeats a message/),
    bad('repeated messages as JSON', 'children=%7B%7D', /"children"/),
  ]);
});

describe('how a text is decoded', () => {
  testRules(at, [
    ok('+ is a space', 'id=a+b%2Bc', { id: 'a b+c' }),
    ok('escapes are UTF-8', 'id=%E2%82%AC', { id: '€' }),
    bad('malformed %', 'id=%4', /"id": % must be followed by two hexadecimal digits/),
    bad('bytes that are not UTF-8', 'id=%FF', /"id": .*not UTF-8/),
    ok('without = the text is empty', 'id&hint', { hint: '' }),
    ok('only the first = divides', 'id=a=b', { id: 'a=b' }),
    ok('empty parts are nothing', '&&id=x&', { id: 'x' }),
  ]);
});

describe('every type has its text', () => {
  testRules(at, [
    ok('int32', 'number=-2147483648', { number: -2147483648 }),
    bad('int32', 'number=2147483648', /expected an int32/),
    ok('uint32', 'count=4294967295', { count: 4294967295 }),
    bad('uint32', 'count=-1', /expected a uint32/),
    ok('int64', 'bigNumber=-9223372036854775808', { bigNumber: '-9223372036854775808' }),
    bad('int64', 'bigNumber=9223372036854775808', /expected an int64/),
    ok('uint64', 'hugeNumber=18446744073709551615', { hugeNumber: '18446744073709551615' }),
    bad('uint64', 'hugeNumber=18446744073709551616', /expected a uint64/),
    ok('bool', 'flag=true', { flag: true }),
    bad('bool', 'flag=1', /expected a bool/),
    ok('float', 'ratio=-1.5e2', { ratio: -150 }),
    bad('float', 'ratio=1e39', /float/),
    ok('double', 'amount=NaN', { amount: 'NaN' }),
    ok('double', 'amount=-Infinity', { amount: '-Infinity' }),
    bad('double', 'amount=1e400', /double/),
    bad('double', 'amount=0x10', /double/),
    ok('bytes in base64', 'data=%2B%2F%2F%2B', { data: '+//+' }),
    ok('bytes in base64url', 'data=-__-', { data: '+//+' }),
    ok('bytes without padding', 'data=AQ', { data: 'AQ==' }),
    bad('bytes', 'data=A*', /base64/),
    ok('enum by name', 'color=RED&colors=BLUE', { color: 'RED', colors: ['BLUE'] }),
    ok('enum by number', 'color=2', { color: 'BLUE' }),
    bad('enum by another name', 'color=red', /"color": .*"red"/),
    ok('optional: an empty text is set', 'hint=', { hint: '' }),
    ok('StringValue', 'note=', { note: '' }),
    ok('Int64Value', 'limit=5', { limit: '5' }),
    bad('Int64Value', 'limit=x', /"limit": expected an int64/),
    ok('BoolValue', 'maybe=false', { maybe: false }),
    bad('BoolValue', 'maybe=no', /"maybe"/),
    ok('BytesValue', 'blob=AQ==', { blob: 'AQ==' }),
    ok('Timestamp', 'since=2024-02-29T23:59:59.5%2B01:00', { since: '2024-02-29T22:59:59.500Z' }),
    bad('Timestamp', 'since=2023-02-29T00:00:00Z', /"since": expected an RFC 3339 time/),
    bad('Timestamp over its limit', 'since=10000-01-01T00:00:00Z', /"since"/),
    ok('Duration', 'wait=-1.5s', { wait: '-1.500s' }),
    bad('Duration in Go syntax', 'wait=1m', /"wait"/),
    bad('Duration over its limit', 'wait=315576000001s', /"wait"/),
    ok('FieldMask', 'updateMask=id,child.bigNumber', { updateMask: 'id,child.bigNumber' }),
    bad('FieldMask', 'updateMask=child.big_number', /"updateMask"/),
    ok('Struct as JSON text', 'extra=%7B%22a%22:%5B1%5D%7D', { extra: { a: [1] } }),
    bad('Struct', 'extra=%5B1%5D', /"extra": expected an object/),
    bad('Struct that is no JSON', 'extra=%7Ba', /"extra": expected JSON text/),
    ok('Value as JSON text', 'value=%22x%22', { value: 'x' }),
    ok('Value null', 'value=null', { value: null }),
    ok('ListValue as JSON text', 'list=%5B1,null%5D', { list: [1, null] }),
    bad('Any', 'any=%7B%7D', /"any": this cannot be given in the query/),
    ok('maps as m[key]=v', 'labels[a]=b&switches[-1]=true', { labels: { a: 'b' }, switches: { '-1': true } }),
    ok('a key may hold anything', 'labels[a.b%5Bc%5D]=x', { labels: { 'a.b[c]': 'x' } }),
    bad('a key of the wrong type', 'switches[x]=true', /"switches\[x\]"/),
    bad('a key given twice', 'labels[a]=b&labels[a]=c', /"labels\[a\]": given twice/),
    bad('a map without a key', 'labels=x', /"labels": a map is given entry by entry/),
    bad('a key of what is no map', 'id[a]=x', /only a map is given with a key in brackets/),
    bad('maps of messages', 'stock[a]=x', /"stock\[a\]"/),
  ]);
});
