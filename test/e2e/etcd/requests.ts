/** What both gateways are asked, in this order: each request finds the store as the ones before it left it. */

export interface PairedRequest {
  /** Unique: the table of differences refers to it. */
  readonly name: string;
  /** Default POST, as in the whole contract of etcd. */
  readonly verb?: string;
  readonly path: string;
  /** Text and bytes are sent as they are, any other object as JSON. Undefined: no body. */
  readonly body?: string | object;
  /** Default application/json. */
  readonly contentType?: string;
  /** Without a token, where a token is asked for. Default false. */
  readonly anonymous?: boolean;
  /** Members of the reply that depend on the moment: compared by their presence alone. */
  readonly volatile?: readonly string[];
}

/** Keys and values are bytes to etcd, hence base64 in JSON. */
export const base64 = (text: string): string => Buffer.from(text).toString('base64');

const request = (name: string, path: string, body?: string | object): PairedRequest =>
  body === undefined ? { name, path } : { name, path, body };
const put = (name: string, body: string | object): PairedRequest => request(name, '/v3/kv/put', body);
const range = (name: string, body?: string | object): PairedRequest => request(name, '/v3/kv/range', body);
const remove = (name: string, body: object): PairedRequest => request(name, '/v3/kv/deleterange', body);
const txn = (name: string, body: string | object): PairedRequest => request(name, '/v3/kv/txn', body);
const compaction = (name: string, body: object): PairedRequest => request(name, '/v3/kv/compaction', body);
const lease = (name: string, verb: string, body: string | object): PairedRequest =>
  request(name, `/v3/lease/${verb}`, body);

const ALPHA = base64('alpha');
const A = base64('a');
/** The end of the range of all keys. */
const ALL = base64('\0');
const kv = (key: string, value: string): { key: string; value: string } => ({
  key: base64(key),
  value: base64(value),
});

const WRITES: readonly PairedRequest[] = [
  put('put: a new key', kv('alpha', 'one')),
  put('put: an old key, with what it held', { ...kv('alpha', 'two'), prev_kv: true }),
  put('put: by the JSON name of a field', { ...kv('alpha', 'three'), prevKv: true }),
  put('put: without a value', { key: base64('beta') }),
  put('put: every kind of byte', {
    key: base64('bytes'),
    value: Buffer.from(Array.from({ length: 256 }, (_, index) => index)).toString('base64'),
  }),
  put('put: text beyond ASCII', kv('gamma/ключ', 'значение 🌊')),
  put('put: into a lease that does not exist', { ...kv('delta', 'x'), lease: '404' }),
  put('put: the old value of a key that has none', { key: base64('nothing'), ignore_value: true }),
  put('put: ignore the value and give one', { ...kv('alpha', 'x'), ignore_value: true }),
  put('put: without a key', {}),
  put('put: with an empty key', { key: '', value: A }),
];

const READS: readonly PairedRequest[] = [
  range('range: one key', { key: ALPHA }),
  range('range: a key that is not there', { key: base64('nothing') }),
  range('range: a prefix', { key: base64('a'), range_end: base64('b') }),
  range('range: every key, by value, descending, by enum name', {
    key: ALL,
    range_end: ALL,
    sort_order: 'DESCEND',
    sort_target: 'VALUE',
  }),
  range('range: every key, by enum number', { key: ALL, range_end: ALL, sort_order: 1, sort_target: 3 }),
  range('range: one of many, and that there are more', { key: ALL, range_end: ALL, limit: '1' }),
  range('range: a limit as a number', { key: ALL, range_end: ALL, limit: 2 }),
  range('range: keys only', { key: ALL, range_end: ALL, keys_only: true }),
  range('range: the count only', { key: ALL, range_end: ALL, count_only: true }),
  range('range: at an old revision', { key: ALPHA, revision: '2' }),
  range('range: by revisions of change', {
    key: ALL,
    range_end: ALL,
    min_mod_revision: '3',
    max_mod_revision: '5',
  }),
  range('range: served by the member alone', { key: ALPHA, serializable: true }),
  range('range: at a revision of the future', { key: ALPHA, revision: '1000' }),
  range('range: no body'),
  range('range: an empty object', {}),
  range('range: null for fields that are not there', {
    key: ALPHA,
    range_end: null,
    limit: null,
    sort_order: null,
  }),
  range('range: white space around the value', `\n  {"key": "${ALPHA}"}\t\r\n`),
  range('range: escapes in the text', `{"k\\u0065y":"\\u0059WxwaGE="}`),
];

const TRANSACTIONS: readonly PairedRequest[] = [
  txn('txn: nothing to compare, nothing to do', {}),
  txn('txn: what was compared holds', {
    compare: [{ key: ALPHA, target: 'VERSION', result: 'GREATER', version: '2' }],
    success: [
      { request_range: { key: ALPHA } },
      { request_put: { ...kv('alpha', 'four'), prev_kv: true } },
      { request_delete_range: { key: base64('beta'), prev_kv: true } },
    ],
    failure: [{ request_put: kv('alpha', 'never') }],
  }),
  txn('txn: what was compared does not hold', {
    compare: [{ key: ALPHA, target: 'VALUE', value: base64('other') }],
    success: [{ request_put: kv('alpha', 'never') }],
    failure: [{ request_range: { key: ALPHA, keys_only: true } }, { request_put: kv('beta', 'again') }],
  }),
  txn('txn: a zero in a oneof is a value', {
    compare: [{ key: base64('nothing'), target: 'CREATE', create_revision: '0' }],
    success: [{ request_put: kv('created', 'once') }],
  }),
  txn('txn: inside a txn', {
    success: [
      { request_txn: { success: [{ request_range: { key: ALPHA } }, { request_put: kv('inner', 'x') }] } },
    ],
  }),
  txn('txn: the same key twice', {
    success: [{ request_put: kv('alpha', 'x') }, { request_put: kv('alpha', 'y') }],
  }),
  txn('txn: a compare without its value', { compare: [{ key: ALPHA, target: 'VERSION' }] }),
  txn('txn: an operation that says nothing', { success: [{}] }),
];

const DELETIONS: readonly PairedRequest[] = [
  remove('deleterange: one key', { key: base64('created') }),
  remove('deleterange: a key that is not there', { key: base64('created') }),
  remove('deleterange: a prefix, with what it held', {
    key: base64('b'),
    range_end: base64('c'),
    prev_kv: true,
  }),
  remove('deleterange: without a key', {}),
  compaction('compaction: up to a revision', { revision: '5', physical: true }),
  compaction('compaction: up to it once more', { revision: '5' }),
  compaction('compaction: up to the future', { revision: '1000' }),
  range('range: at a revision that was compacted', { key: ALPHA, revision: '3' }),
];

const LEASES: readonly PairedRequest[] = [
  lease('lease: grant', 'grant', { TTL: '600', ID: '7001' }),
  lease('lease: grant, numbers as numbers', 'grant', { TTL: 600, ID: 7002 }),
  lease('lease: grant one that exists', 'grant', { TTL: '600', ID: '7001' }),
  lease('lease: grant with a TTL that is too large', 'grant', { TTL: '9000000001' }),
  put('put: into a lease', { ...kv('leased', 'x'), lease: '7001' }),
  {
    ...lease('lease: time to live, with its keys', 'timetolive', { ID: '7001', keys: true }),
    volatile: ['TTL'],
  },
  {
    ...request('lease: time to live, at its other path', '/v3/kv/lease/timetolive', { ID: '7002' }),
    volatile: ['TTL'],
  },
  lease('lease: time to live of one that does not exist', 'timetolive', { ID: '404' }),
  lease('lease: time to live, an ID above 2^53 as a number', 'timetolive', '{"ID":9223372036854775806}'),
  lease('lease: list', 'leases', {}),
  lease('lease: revoke', 'revoke', { ID: '7001' }),
  request('lease: revoke, at its other path', '/v3/kv/lease/revoke', { ID: '7002' }),
  lease('lease: revoke one that does not exist', 'revoke', { ID: '404' }),
  range('range: a key whose lease was revoked', { key: base64('leased') }),
];

const CLUSTER: readonly PairedRequest[] = [
  request('member: list', '/v3/cluster/member/list', {}),
  request('member: remove one that does not exist', '/v3/cluster/member/remove', { ID: '404' }),
  request('member: promote one that does not exist', '/v3/cluster/member/promote', { ID: '404' }),
  request('member: add with an URL that is none', '/v3/cluster/member/add', { peerURLs: ['not an url'] }),
  request('member: update one that does not exist', '/v3/cluster/member/update', {
    ID: '404',
    peerURLs: ['http://127.0.0.1:2390'],
  }),
  { ...request('maintenance: status', '/v3/maintenance/status', {}), volatile: ['dbSize', 'dbSizeInUse'] },
  request('maintenance: hash', '/v3/maintenance/hash', {}),
  request('maintenance: list of alarms', '/v3/maintenance/alarm', {}),
  request('maintenance: raise an alarm', '/v3/maintenance/alarm', {
    action: 'ACTIVATE',
    alarm: 'CORRUPT',
    memberID: '1',
  }),
  request('maintenance: clear an alarm, by number', '/v3/maintenance/alarm', {
    action: 2,
    alarm: 2,
    memberID: '1',
  }),
  request('maintenance: hand over to a member that does not exist', '/v3/maintenance/transfer-leadership', {
    targetID: '18446744073709551615',
  }),
  request('maintenance: defragment', '/v3/maintenance/defragment', {}),
];

const AUTH: readonly PairedRequest[] = [
  request('auth: enable it without a root user', '/v3/auth/enable', {}),
  request('auth: authenticate while it is off', '/v3/auth/authenticate', { name: 'root', password: 'x' }),
  request('auth: add a role', '/v3/auth/role/add', { name: 'reader' }),
  request('auth: add a role that exists', '/v3/auth/role/add', { name: 'reader' }),
  request('auth: grant it a range', '/v3/auth/role/grant', {
    name: 'reader',
    perm: { permType: 'WRITE', key: A, range_end: base64('b') },
  }),
  request('auth: what a role may do', '/v3/auth/role/get', { role: 'reader' }),
  request('auth: a role that does not exist', '/v3/auth/role/get', { role: 'nobody' }),
  request('auth: add a user', '/v3/auth/user/add', { name: 'ann', options: { no_password: true } }),
  request('auth: add a user without a name', '/v3/auth/user/add', { name: '' }),
  request('auth: give the user the role', '/v3/auth/user/grant', { user: 'ann', role: 'reader' }),
  request('auth: what roles the user has', '/v3/auth/user/get', { name: 'ann' }),
  request('auth: list of users', '/v3/auth/user/list', {}),
];

/** Which of the two etcd's gateway takes is left to chance; neither changes anything. */
export const TWO_OF_A_ONEOF = {
  success: [{ request_range: { key: ALPHA }, request_delete_range: { key: base64('nothing') } }],
} as const;

/** Etcd's gateway makes a message of it that cannot be encoded: it panics, and the connection is cut. */
export const NULL_IN_A_LIST: PairedRequest = txn('null in a list of messages', { success: [null] });

/** What is wrong with these is the request itself. */
const MALFORMED: readonly PairedRequest[] = [
  range('bad: JSON that ends too early', `{"key":"${ALPHA}"`),
  range('bad: a comma too many', `{"key":"${ALPHA}",}`),
  range('bad: garbage after the value', `{"key":"${ALPHA}"} garbage`),
  range('bad: two values', `{"key":"${ALPHA}"}{"key":"${A}"}`),
  range('bad: an array for the message', `[{"key":"${ALPHA}"}]`),
  range('bad: a string for the message', '"alpha"'),
  range('bad: null for the message', 'null'),
  range('bad: white space for the message', '  \n'),
  lease('bad: null for a message that needs nothing', 'leases', 'null'),
  lease('bad: white space for a message that needs nothing', 'leases', '  \n'),
  range('bad: a number for bytes', { key: 5 }),
  range('bad: an object for bytes', { key: {} }),
  range('bad: base64 of another alphabet', { key: '*alpha*' }),
  range('bad: base64 without padding', { key: A.replaceAll('=', '') }),
  range('bad: base64 for URLs', { key: Buffer.from([0xfb, 0xff, 0xfe]).toString('base64url') }),
  range('bad: a string for a bool', { key: ALPHA, keys_only: 'true' }),
  range('bad: a number for a bool', { key: ALPHA, keys_only: 1 }),
  range('bad: words for an integer', { key: ALPHA, limit: 'ten' }),
  range('bad: a fraction for an integer', { key: ALPHA, limit: 1.5 }),
  range('bad: a whole number with a fraction part', `{"key":"${ALPHA}","limit":1.0}`),
  range('bad: a whole number with an exponent', `{"key":"${ALPHA}","limit":1e1}`),
  range('bad: a whole number with a fraction part, in quotes', { key: ALPHA, limit: '1.0' }),
  range('bad: a number with leading zeros, in quotes', { key: ALPHA, limit: '007' }),
  range('bad: an integer of more than 64 bits', { key: ALPHA, limit: '9223372036854775808' }),
  range('bad: an unknown enum name', { key: ALPHA, sort_order: 'SIDEWAYS' }),
  range('bad: an enum name in small letters', { key: ALPHA, sort_order: 'ascend' }),
  range('bad: an enum number that has no name', { key: ALPHA, sort_order: 99 }),
  range('bad: an enum number as a string', { key: ALPHA, sort_order: '1' }),
  range('bad: an enum number with a fraction part', `{"key":"${ALPHA}","sort_order":1.0}`),
  range('bad: a field that does not exist', { key: ALPHA, colour: 'blue' }),
  range('bad: a field name in another case', { KEY: ALPHA }),
  range('bad: a field given twice', `{"key":"${A}","key":"${ALPHA}"}`),
  range('bad: a field given by both of its names', { key: ALPHA, keys_only: true, keysOnly: false }),
  range('bad: bytes that are not UTF-8', Buffer.from(`{"key":"${ALPHA}","\xff":1}`, 'latin1')),
  request('bad: half of a surrogate pair', '/v3/auth/role/get', '{"role":"\\ud800"}'),
  txn('bad: an object for a list', { success: { request_range: { key: ALPHA } } }),
  request('bad: null in a list of strings', '/v3/cluster/member/add', { peerURLs: [null] }),
  { ...txn('bad: two members of a oneof', TWO_OF_A_ONEOF), volatile: ['responses'] },
  txn('bad: nested 200 deep', `${'{"success":[{"request_txn":'.repeat(100)}{}${'}]}'.repeat(100)}`),
  txn('bad: nested 1,000 deep', `${'{"success":[{"request_txn":'.repeat(500)}{}${'}]}'.repeat(500)}`),
  txn('bad: nested 40,000 deep', `${'{"success":[{"request_txn":'.repeat(20_000)}{}${'}]}'.repeat(20_000)}`),
  lease('bad: a negative ID where none can be', 'revoke', { ID: '-404' }),
  request('bad: a negative number for an unsigned one', '/v3/cluster/member/remove', { ID: '-1' }),
  {
    name: 'bad: a form',
    path: '/v3/kv/range',
    body: { key: ALPHA },
    contentType: 'application/x-www-form-urlencoded',
  },
  { name: 'bad: plain text', path: '/v3/kv/range', body: { key: ALPHA }, contentType: 'text/plain' },
  { name: 'bad: no token', path: '/v3/kv/range', body: { key: ALPHA }, anonymous: true },
  { name: 'bad: a GET of what must be posted', verb: 'GET', path: '/v3/kv/range' },
  {
    name: 'bad: a DELETE of what must be posted',
    verb: 'DELETE',
    path: '/v3/kv/range',
    body: { key: ALPHA },
  },
  request('bad: a path that does not exist', '/v3/kv/fetch', { key: ALPHA }),
  request('bad: a path in another case', '/v3/KV/range', { key: ALPHA }),
  request('bad: a slash behind the path', '/v3/kv/range/', { key: ALPHA }),
  request('bad: two slashes in the path', '/v3//kv/range', { key: ALPHA }),
  request('bad: an escape in the path', '/v3/kv/r%61nge', { key: ALPHA }),
  request('bad: a broken escape in the path', '/v3/kv/r%zznge', { key: ALPHA }),
  request('bad: a verb that does not exist', '/v3/kv/range:all', { key: ALPHA }),
  request('bad: a query beside the body', `/v3/kv/range?key=${A}&limit=7`, { key: ALPHA }),
];

export const REQUESTS: readonly PairedRequest[] = [
  ...WRITES,
  ...READS,
  ...TRANSACTIONS,
  ...DELETIONS,
  ...LEASES,
  ...CLUSTER,
  ...AUTH,
  ...MALFORMED,
];
