/** The configuration: three sources, one validated result, and errors that name their place. */
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SETTINGS } from '../gateway/config/settings.js';
import { parseDuration, parseSize, printDuration, printSize } from '../gateway/config/units.js';
import { type Config, ConfigError, DEVELOPMENT_SECRET, loadConfig } from '../gateway/config.js';
import { isMisspelt, nearest } from '../src/nearest.js';

interface Sources {
  readonly argv?: readonly string[];
  readonly env?: Record<string, string>;
  readonly yaml?: string;
  readonly files?: Record<string, string>;
}

const SECRET = 'a secret that is long enough for HS256';
const rsa = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});

function load({ argv = [], env = {}, yaml, files = {} }: Sources, upstream = true): Config {
  const all: Record<string, string> = yaml === undefined ? files : { ...files, 'tidegate.yaml': yaml };
  return loadConfig({
    argv: [...(yaml === undefined ? [] : ['--config', 'tidegate.yaml']), ...argv],
    env: upstream && !yaml?.includes('upstreams') ? { TIDEGATE_UPSTREAMS: 'localhost:50051', ...env } : env,
    readFile: (path) => {
      const text = all[path];
      if (text === undefined) throw Object.assign(new Error(`ENOENT ${path}`), { code: 'ENOENT' });
      return text;
    },
  });
}

function problems(sources: Sources, upstream = true): readonly string[] {
  try {
    load(sources, upstream);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(ConfigError);
    return (thrown as ConfigError).problems;
  }
  return [];
}

describe('defaults', () => {
  it('are complete with nothing but an upstream', () => {
    expect(load({})).toEqual({
      access: [],
      audit: { allowed: false },
      identity: { claims: {} },
      host: '0.0.0.0',
      port: 8080,
      dev: false,
      upstreams: [{ name: 'u1', address: 'localhost:50051', services: [], trusted: false }],
      contract: { protos: [], includes: [], descriptors: [], serviceConfigs: [], duplicateRoutes: 'error' },
      auth: {
        keys: [],
        issuers: [],
        sources: ['authorization', 'subprotocol', 'frames', 'tickets'],
        ticketTtlMs: 30_000,
        ticketsAtOnce: 10_000,
        revocationTtlMs: 86_400_000,
        leewaySeconds: 30,
        roles: {},
      },
      json: { emitDefaults: false, emitNulls: false, protoNames: false, enumNumbers: false, int64: 'string' },
      limits: {
        bodyBytes: 4194304,
        frameBytes: 65536,
        headerBytes: 16384,
        replyBytes: 4194304,
        streamsPerSocket: 100,
        queuedMessages: 64,
        urlBytes: 12_288,
        bodyBytesPerSecond: 256,
        connections: 20_000,
        connectionsPerAddress: 1_000,
        connectionsPerPrincipal: 1_000,
        handshakesPerSecond: 1_000,
        handshakesPerAddress: 200,
        requestsPerSecond: 2_000,
        messagesPerSecond: 2_000,
        badTokensPerSecond: 100,
        streamsPerPrincipal: 1_000,
        callsPerUpstream: 20_000,
        shared: true,
      },
      timeouts: {
        unaryMs: 30000,
        maxMs: 0,
        acceptMs: 200,
        heartbeatMs: 25000,
        helloMs: 10000,
        bodyMs: 20000,
        headersMs: 20000,
        keepAliveMs: 65000,
        writeMs: 30000,
        idleMs: 600000,
        drainMs: 10000,
        startMs: 30000,
      },
      http: {
        profile: 'default',
        errors: 'status',
        requestInfo: true,
        headers: 'same',
        compressAboveBytes: 1024,
        compressEvents: false,
        etag: false,
        wrongMethod: 405,
        trailingSlash: 'reject',
        formOverride: false,
        uncleanPaths: 'reject',
        jsonDialect: 'strict',
        precedence: 'specific',
        verbs: 'route',
        methodPaths: true,
        multiSegment: 'except-slash',
        pathConflicts: 'reject',
        repeatedPathFields: false,
        unknownParameters: 'reject',
        captureInto: '',
        ignoredParameters: [],
        plusIsSpace: true,
        goTexts: false,
        unknownFields: 'reject',
        unknownEnumNames: 'reject',
        fillMask: true,
        contentTypes: 'strict',
        streams: 'bare',
      },
      routes: [],
      origins: [],
      cors: { credentials: false, maxAgeSeconds: 600, allowHeaders: [] },
      trustedHops: 0,
      stripHeaders: [],
      streams: {
        lifetimeMs: 600_000,
        leaseMs: 6_000,
        patienceMs: 30_000,
        pollMaxMs: 60_000,
        memoryBytes: 268_435_456,
        ackTtlMs: 3_600_000,
      },
      channels: false,
      channelRules: [],
      logLevel: 'info',
    });
  });

  it('cannot be changed afterwards, at any depth', () => {
    const config = load({});
    expect(Object.isFrozen(config)).toBe(true);
    expect(() => Object.assign(config.limits, { bodyBytes: 1 })).toThrow(TypeError);
    expect(() => (config.upstreams as unknown[]).push(1)).toThrow(TypeError);
    expect(Object.isFrozen(load({}).limits)).toBe(true);
  });
});

describe('sources', () => {
  it('are flags before environment before file', () => {
    const yaml = 'port: 1111\nhost: file.local\nlogLevel: debug';
    expect(load({ yaml })).toMatchObject({ port: 1111, host: 'file.local', logLevel: 'debug' });
    const env = { TIDEGATE_PORT: '2222', TIDEGATE_HOST: 'env.local' };
    expect(load({ yaml, env })).toMatchObject({ port: 2222, host: 'env.local', logLevel: 'debug' });
    expect(load({ yaml, env, argv: ['--port', '3333'] })).toMatchObject({ port: 3333, host: 'env.local' });
  });

  it('accept plain PORT and HOST, and prefer the prefixed ones', () => {
    expect(load({ env: { PORT: '9000', HOST: '127.0.0.1' } })).toMatchObject({
      port: 9000,
      host: '127.0.0.1',
    });
    expect(load({ env: { PORT: '9000', TIDEGATE_PORT: '9001' } }).port).toBe(9001);
  });

  it('treat an empty variable as one that is not set', () => {
    expect(load({ yaml: 'port: 1111', env: { PORT: '', TIDEGATE_JWT_SECRET: '' } }).port).toBe(1111);
  });

  it('replace a list as a whole', () => {
    const yaml = 'origins: [https://a.example]';
    expect(load({ yaml, argv: ['--origin', 'https://b.example', '--origin', '*'] }).origins).toEqual([
      'https://b.example',
      '*',
    ]);
    expect(load({ env: { TIDEGATE_PROTOS: 'a, b ,,c' } }).contract.protos).toEqual(['a', 'b', 'c']);
  });

  it('let a switch be turned off by a stronger source', () => {
    expect(load({ env: { TIDEGATE_EMIT_DEFAULTS: 'yes' } }).json.emitDefaults).toBe(true);
    expect(
      load({ env: { TIDEGATE_EMIT_DEFAULTS: '1' }, argv: ['--no-emit-defaults'] }).json.emitDefaults,
    ).toBe(false);
  });

  it('leave names that users give alone, whatever they end in', () => {
    const files = { '/etc/tidegate/t.yaml': 'identity: { claims: { keyFile: file, x-File: file.path } }' };
    const { identity } = load({ argv: ['--config', '/etc/tidegate/t.yaml'], files });
    expect(identity.claims).toEqual({ keyfile: 'file', 'x-file': 'file.path' });
  });

  it('resolve the paths of a file against the file', () => {
    const text =
      'contract: { protos: [proto, /abs] }\nauth: { keys: [{ algorithm: HS256, keyFile: s.txt }] }';
    const files = { '/etc/tidegate/t.yaml': text, '/etc/tidegate/s.txt': `${SECRET}\n` };
    const config = load({ argv: ['--config', '/etc/tidegate/t.yaml'], files });
    expect(config.contract.protos).toEqual(['/etc/tidegate/proto', '/abs']);
    expect(config.auth.keys).toEqual([{ algorithm: 'HS256', key: SECRET }]);
  });

  it('ignore what Kubernetes sets for a service named tidegate', () => {
    const env = {
      TIDEGATE_PORT: 'tcp://10.0.0.1:8080',
      TIDEGATE_SERVICE_HOST: '10.0.0.1',
      TIDEGATE_PORT_8080_TCP_ADDR: '10.0.0.1',
    };
    expect(load({ env }).port).toBe(8080);
  });

  it('have a flag, a variable and a place for every setting', () => {
    const flags = SETTINGS.map(({ flag }) => flag);
    expect(new Set(flags).size).toBe(flags.length);
    for (const { env } of SETTINGS) expect(env[0]).toMatch(/^TIDEGATE_[A-Z0-9_]+$/);
  });

  const isNumber = ({ value }: (typeof SETTINGS)[number]) => value !== undefined;
  const numbers = SETTINGS.filter(isNumber);
  it.each(numbers.filter(({ path }) => path?.[0] === 'limits' || path?.[0] === 'timeouts'))(
    'set $path by --$flag and by $env',
    ({ flag, env, path }) => {
      const settingOf = (config: Config) =>
        (config as unknown as Record<string, Record<string, number>>)[path?.[0] ?? '']?.[path?.[1] ?? ''];
      expect(settingOf(load({ argv: [`--${flag}`, '4321'] }))).toBe(4321);
      expect(settingOf(load({ env: { [env[0] as string]: '4322' } }))).toBe(4322);
    },
  );

  it('refuse a limit that is no number, or too large a one', () => {
    expect(problems({ yaml: 'limits: { requestsPerSecond: -1, connections: many }' })).toEqual([
      "tidegate.yaml: limits.connections: expected a number between 0 and 10000000, not 'many'",
      'tidegate.yaml: limits.requestsPerSecond: expected a number between 0 and 1000000, not -1',
    ]);
    expect(problems({ argv: ['--handshakes', '1000001'] })).toEqual([
      "flag --handshakes: expected a number between 0 and 1000000, not '1000001'",
    ]);
    expect(load({ argv: ['--no-shared-limits'] }).limits.shared).toBe(false);
  });
});

describe('upstreams', () => {
  const upstreams = (...values: string[]) =>
    load({ argv: values.map((value) => `--upstream=${value}`) }).upstreams;

  it('are named by their prefix or in order', () => {
    expect(upstreams('a:1', 'orders.v1=b:2')).toEqual([
      { name: 'u1', address: 'a:1', services: [], trusted: false },
      { name: 'orders.v1', address: 'b:2', services: ['orders.v1.'], trusted: false },
    ]);
  });

  it.each([
    ['orders.v1', 'orders.v1.'],
    ['orders.v1.', 'orders.v1.'],
    ['orders.v1.OrdersService', 'orders.v1.OrdersService'],
    ['Greeter', 'Greeter'],
  ])('claim, for the prefix %s, %s', (prefix, service) => {
    expect(upstreams(`${prefix}=a:1`)[0]?.services).toEqual([service]);
  });

  it.each(['127.0.0.1:1', '[::1]:50051', 'orders:65535', 'a-b.example.com:80', 'my_service:1'])(
    'accept the address %s',
    (address) => {
      expect(upstreams(address)[0]?.address).toBe(address);
    },
  );

  it.each([
    'localhost',
    ':50051',
    'http://a:1',
    'a:0',
    'a:65536',
    'a:1/x',
    'a b:1',
    '::1:80',
    '-a:1',
    'x=',
    '=a:b',
  ])('refuse %s', (given) => {
    expect(problems({ argv: [`--upstream=${given}`] })[0]).toMatch(/^flag --upstream: expected /);
  });

  it('may be mappings or strings in the file', () => {
    const yaml =
      'upstreams:\n  - orders.v1=a:1\n  - { name: chat, address: "b:2", services: [chat.v1.], trusted: true }\n';
    expect(load({ yaml }).upstreams).toEqual([
      { name: 'orders.v1', address: 'a:1', services: ['orders.v1.'], trusted: false },
      { name: 'chat', address: 'b:2', services: ['chat.v1.'], trusted: true },
    ]);
  });

  it('are needed, unless a command does without', () => {
    expect(problems({}, false)).toEqual([
      expect.stringMatching(/^upstreams: expected at least one: --upstream/),
    ]);
    expect(loadConfig({ argv: [], env: {}, upstreams: 'optional' }).upstreams).toEqual([]);
    const forReflection = (argv: string[]) => loadConfig({ argv, env: {}, upstreams: 'for-reflection' });
    expect(forReflection(['--proto', 'proto']).upstreams).toEqual([]);
    expect(() => forReflection([])).toThrow(ConfigError);
    // The built-in service needs nobody behind it, but a contract in files does.
    expect(problems({ argv: ['--channels'] }, false)).toEqual([]);
    expect(problems({ argv: ['--channels', '--proto', 'proto'] }, false)).toHaveLength(1);
  });

  it('have names of their own', () => {
    expect(problems({ argv: ['--upstream', 'a.v1=a:1', '--upstream', 'a.v1=b:1'] })).toEqual([
      "flag --upstream: the name 'a.v1' is taken by another upstream",
    ]);
  });

  it('must not both claim everything when no reflection tells them apart', () => {
    const argv = ['--upstream', 'a:1', '--upstream', 'b:1'];
    expect(problems({ argv })).toEqual([]);
    expect(problems({ argv: [...argv, '--proto', 'proto'] })).toEqual([
      'flag --upstream: a:1 and b:1 both claim every service; say which serves what: --upstream PREFIX=HOST:PORT',
    ]);
  });
});

describe('problems', () => {
  it('are all told at once, each with its source', () => {
    const yaml = 'limits: { bodyBytes: many, frameBytes: 1 }\ntimeouts: 5\njson: { int64: hex }';
    expect(problems({ yaml, argv: ['--port', '99999'], env: { TIDEGATE_DRAIN: 'soon' } })).toEqual([
      "flag --port: expected a port between 0 and 65535, not '99999'",
      "tidegate.yaml: json.int64: expected one of string, number-if-safe, not 'hex'",
      "tidegate.yaml: limits.bodyBytes: expected a size such as 2097152 or 2MiB, from 1 bytes to 1GiB, not 'many'",
      'tidegate.yaml: limits.frameBytes: expected a size such as 2097152 or 2MiB, from 128 bytes to 1GiB, not 1',
      'tidegate.yaml: timeouts: expected a mapping',
    ]);
  });

  it.each<[Sources, string]>([
    [{ env: { PORT: 'http' } }, "environment PORT: expected a port between 0 and 65535, not 'http'"],
    [{ env: { TIDEGATE_DEV: 'maybe' } }, "environment TIDEGATE_DEV: expected true or false, not 'maybe'"],
    [
      { env: { TIDEGATE_UPSTREAM: 'a:1' } },
      'environment TIDEGATE_UPSTREAM: unknown variable; did you mean TIDEGATE_UPSTREAMS?',
    ],
    [{ argv: ['--porto=x'] }, 'unknown flag --porto; did you mean --port?'],
    [{ argv: ['--upstreams=a:1'] }, 'unknown flag --upstreams; did you mean --upstream?'],
    [{ argv: ['--frobnicate'] }, 'unknown flag --frobnicate'],
    [{ argv: ['-x'] }, 'unknown flag -x'],
    [{ argv: ['--no-port'] }, 'unknown flag --no-port; did you mean --port?'],
    [{ argv: ['--port'] }, 'flag --port: expected PORT, as in --port=PORT'],
    [{ argv: ['--port='] }, 'flag --port: expected PORT, as in --port=PORT'],
    [{ argv: ['--host', '--dev'] }, 'flag --host: expected HOST, as in --host=HOST'],
    [{ argv: ['--dev=true'] }, 'flag --dev: takes no value'],
    [{ argv: ['extra'] }, "unexpected argument 'extra'"],
    [
      { argv: ['--log-level', 'loud'] },
      "flag --log-level: expected one of fatal, error, warn, info, debug, trace, silent, not 'loud'",
    ],
    [
      { argv: ['--origin', 'app.example.com'] },
      "flag --origin: expected an origin such as https://app.example.com, or *, not 'app.example.com'",
    ],
    [
      { argv: ['--origin', 'https://a.example/x'] },
      "flag --origin: expected an origin such as https://app.example.com, or *, not 'https://a.example/x'",
    ],
    [{ argv: ['--config', 'none.yaml'] }, 'flag --config: cannot read none.yaml: no such file'],
    [{ yaml: 'prot: 1' }, 'tidegate.yaml: prot: unknown key; did you mean port?'],
    [
      { yaml: 'limits: { bodyByte: 1 }' },
      'tidegate.yaml: limits.bodyByte: unknown key; did you mean bodyBytes?',
    ],
    [
      { yaml: 'upstreams: [{ adress: "a:1" }]' },
      'tidegate.yaml: upstreams[0].adress: unknown key; did you mean address?',
    ],
    [{ yaml: 'upstreams: a:1' }, 'tidegate.yaml: upstreams: expected a list'],
    [
      { yaml: 'channelRules: [{ match: "a b" }]' },
      "tidegate.yaml: channelRules[0].match: expected the name of a channel, with * for any text, not 'a b'",
    ],
    [
      { yaml: 'channelRules: [{ match: a, publish: [] }]' },
      'tidegate.yaml: channelRules[0].publish: expected public, authenticated, nobody, a permission, or a list of permissions, not a list',
    ],
    [
      { yaml: 'channelRules: [{ match: a, subscribe: publc }]' },
      "tidegate.yaml: channelRules[0].subscribe: expected public, authenticated, nobody, a permission, or a list of permissions, not 'publc'",
    ],
    [
      { yaml: 'channelRules: [{ match: a, join: Authenticated }]' },
      "tidegate.yaml: channelRules[0].join: expected public, authenticated, nobody, a permission, or a list of permissions, not 'Authenticated'",
    ],
    [
      { yaml: 'channelRules: [{ match: a, publich: public }]' },
      'tidegate.yaml: channelRules[0].publich: unknown key; did you mean publish?',
    ],
    [
      { yaml: 'channelRules: [{ match: a, retention: { entrys: 1 } }]' },
      'tidegate.yaml: channelRules[0].retention.entrys: unknown key; did you mean entries?',
    ],
    [
      { yaml: 'channelRules: [{ match: a, capacity: 0 }]' },
      'tidegate.yaml: channelRules[0].capacity: expected a number between 1 and 1000000, not 0',
    ],
    [{ yaml: 'auth: { roles: [admin] }' }, 'tidegate.yaml: auth.roles: expected a mapping'],
    [
      { yaml: 'auth: { roles: { admin: [5] } }' },
      'tidegate.yaml: auth.roles.admin[0]: expected a permission, not 5',
    ],
    [{ yaml: '- a\n- b' }, 'tidegate.yaml: expected a mapping of settings'],
    [{ yaml: 'port: 1\nport: 2' }, 'tidegate.yaml:2: not valid YAML: Map keys must be unique'],
    [{ yaml: 'a: [1' }, expect.stringMatching(/^tidegate\.yaml:1: not valid YAML: /) as unknown as string],
  ])('name the place: %j', (sources, problem) => {
    expect(problems(sources)).toContainEqual(problem);
  });

  it('are one for an unknown flag with its value', () => {
    expect(problems({ argv: ['--frobnicate', 'x', '--dev=1'] })).toEqual([
      'unknown flag --frobnicate',
      'flag --dev: takes no value',
    ]);
  });

  it('leave the variables of other programs alone', () => {
    expect(problems({ env: { TIDEGATE_TEST: 'x', TIDEGATE_SOMETHING_ELSE: 'y' } })).toEqual([]);
  });

  it('tell a bad command line from a bad value', () => {
    const usageOf = (argv: string[]) => {
      try {
        load({ argv });
      } catch (thrown) {
        return (thrown as ConfigError).usage;
      }
      return undefined;
    };
    expect(usageOf(['--bad'])).toBe(true);
    expect(usageOf(['--port', 'x'])).toBe(false);
  });

  it('do not arise from a key with nothing behind it', () => {
    expect(load({ yaml: 'limits:\n#  bodyBytes: 5\nport:\n' }).port).toBe(8080);
    expect(load({ yaml: '' }).port).toBe(8080);
  });
});

describe('keys', () => {
  it('come from flags, environment and file; the stronger source replaces its algorithm', () => {
    const other = 'another secret that is long enough too';
    const yaml = `auth: { keys: [{ algorithm: HS256, key: ${other} }, { algorithm: RS256, keyFile: k.pem, keyId: r1 }] }`;
    const files = { 'k.pem': rsa.publicKey, s: `${SECRET}\n` };
    const fromFile = { algorithm: 'RS256', key: rsa.publicKey.trimEnd(), keyId: 'r1' };
    expect(load({ yaml, files }).auth.keys).toEqual([{ algorithm: 'HS256', key: other }, fromFile]);
    const env = { TIDEGATE_JWT_SECRET: SECRET };
    expect(load({ yaml, files, env }).auth.keys).toEqual([{ algorithm: 'HS256', key: SECRET }, fromFile]);
    expect(
      load({ argv: ['--jwt-secret-file', 's'], files, env: { TIDEGATE_JWT_SECRET: other } }).auth.keys,
    ).toEqual([{ algorithm: 'HS256', key: SECRET }]);
    expect(load({ env: { TIDEGATE_JWT_PUBLIC_KEY: rsa.publicKey } }).auth.keys[0]?.algorithm).toBe('RS256');
  });

  it('keep their place in the file when one of them is replaced from outside', () => {
    const yaml = `auth: { keys: [{ algorithm: HS256, key: ${SECRET} }, { algorithm: RS256, key: bad }] }`;
    expect(problems({ yaml, env: { TIDEGATE_JWT_SECRET: SECRET } })).toEqual([
      'tidegate.yaml: auth.keys[1]: expected an RSA public key in PEM form (-----BEGIN PUBLIC KEY-----)',
    ]);
  });

  const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({
    type: 'spki',
    format: 'pem',
  });
  const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({
    type: 'spki',
    format: 'pem',
  });
  it.each<[string, Sources, RegExp]>([
    [
      'a short secret',
      { env: { TIDEGATE_JWT_SECRET: 'short' } },
      /^environment TIDEGATE_JWT_SECRET: .*at least 32 bytes, this one has 5/,
    ],
    ['a public key as secret', { env: { TIDEGATE_JWT_SECRET: rsa.publicKey } }, /belongs to algorithm RS256/],
    [
      'a private key',
      { env: { TIDEGATE_JWT_PUBLIC_KEY: rsa.privateKey } },
      /^environment TIDEGATE_JWT_PUBLIC_KEY: this is a private key/,
    ],
    ['what is no key', { env: { TIDEGATE_JWT_PUBLIC_KEY: 'x' } }, /expected an RSA public key in PEM form/],
    [
      'a small RSA key',
      { env: { TIDEGATE_JWT_PUBLIC_KEY: String(small) } },
      /at least 2048 bits, this one has 1024/,
    ],
    ['a key of another kind', { env: { TIDEGATE_JWT_PUBLIC_KEY: String(curve) } }, /this is ec$/],
    [
      'a missing file',
      { argv: ['--jwt-secret-file', 'none'] },
      /^flag --jwt-secret-file: cannot read none: no such file$/,
    ],
    [
      'an entry without key',
      { yaml: 'auth: { keys: [{ algorithm: HS256 }] }' },
      /auth\.keys\[0\]: expected key or keyFile$/,
    ],
    [
      'another algorithm',
      { yaml: 'auth: { keys: [{ algorithm: none, key: x }] }' },
      /auth\.keys\[0\]\.algorithm: expected one of HS256, RS256, not 'none'$/,
    ],
    [
      'the development secret outside development',
      { env: { TIDEGATE_JWT_SECRET: DEVELOPMENT_SECRET } },
      /public development secret/,
    ],
    [
      'a secret given twice',
      { env: { TIDEGATE_JWT_SECRET: SECRET, TIDEGATE_JWT_SECRET_FILE: 's' }, files: { s: SECRET } },
      /not both$/,
    ],
  ])('refuse %s', (_, sources, problem) => {
    const found = problems(sources);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(problem);
    expect(found[0]).not.toContain(SECRET);
  });
});

describe('development mode', () => {
  it('adds the public secret and the role admin, on loopback', () => {
    const config = load({ argv: ['--dev'] });
    expect(config.host).toBe('127.0.0.1');
    expect(config.auth.keys).toEqual([{ algorithm: 'HS256', key: DEVELOPMENT_SECRET }]);
    expect(config.auth.roles).toEqual({ admin: ['*'] });
  });

  it('keeps the keys and roles that are configured', () => {
    const config = load({
      argv: ['--dev'],
      env: { TIDEGATE_JWT_SECRET: SECRET },
      yaml: 'auth: { roles: { admin: [x] } }',
    });
    expect(config.auth.keys.map(({ key }) => key)).toEqual([SECRET, DEVELOPMENT_SECRET]);
    expect(config.auth.roles).toEqual({ admin: ['x'] });
  });

  it.each(['0.0.0.0', '::', '192.168.1.5', 'example.com', '127.example.com'])(
    'refuses to listen on %s',
    (host) => {
      expect(problems({ argv: ['--dev', '--host', host] })).toEqual([
        `flag --host: with --dev expected 127.0.0.1, ::1 or localhost, not '${host}': development tokens are public`,
      ]);
    },
  );

  it.each(['127.0.0.1', '127.1.2.3', '::1', 'localhost'])('listens on %s', (host) => {
    expect(load({ argv: ['--dev', '--host', host] }).host).toBe(host);
  });

  it('is refused in production', () => {
    expect(problems({ env: { TIDEGATE_DEV: 'true', NODE_ENV: 'production' } })).toEqual([
      'environment TIDEGATE_DEV: refused with NODE_ENV=production: development tokens are public',
    ]);
  });
});

describe('CORS', () => {
  it('allows credentials to named origins, not to all', () => {
    const argv = ['--upstream', 'a:1', '--cors-credentials', '--origin', 'https://a.example'];
    expect(load({ argv }).cors.credentials).toBe(true);
    expect(problems({ argv: [...argv, '--origin', '*'] })).toEqual([
      'flag --cors-credentials: not together with the origin *; name the origins',
    ]);
  });
});

describe('the documentation', () => {
  it('shows a file that is valid, with the true defaults', () => {
    const page = readFileSync(new URL('../docs/configuration.md', import.meta.url), 'utf8');
    const yaml = /```yaml\n([\s\S]*?)```/.exec(page)?.[1] as string;
    const documented = load({ yaml, files: { 'keys/public.pem': rsa.publicKey } });
    const { upstreams: _, routes: __, auth, ...defaults } = load({});
    expect(documented).toMatchObject(defaults);
    expect(documented.auth.leewaySeconds).toBe(auth.leewaySeconds);
  });
});

describe('units', () => {
  it.each([
    ['4MiB', 4194304],
    ['64 KiB', 65536],
    ['1.5kib', 1536],
    ['2MB', 2000000],
    [4096, 4096],
    ['10b', 10],
  ])('read %s as %d bytes', (given, bytes) => {
    expect(parseSize(given)).toBe(bytes);
  });

  it.each(['', 'x', '-1', '1.5', '1e3', '4 M iB', '4TiB', 'MiB', '0x10', true, null, [5], '4constructor'])(
    'refuse %s as a size',
    (given) => {
      expect(parseSize(given)).toBeUndefined();
    },
  );

  it.each([
    ['30s', 30000],
    ['1.5m', 90000],
    ['24h', 86400000],
    ['7d', 604800000],
    ['250ms', 250],
    [250, 250],
  ])('read %s as %d ms', (given, ms) => {
    expect(parseDuration(given)).toBe(ms);
  });

  it('read what they print', () => {
    fc.assert(
      fc.property(fc.nat(), (value) => {
        expect(parseSize(printSize(value))).toBe(value);
        expect(parseDuration(printDuration(value))).toBe(value);
      }),
    );
  });
});

describe('streams', () => {
  const secret = 'a secret of cursors that is long enough';

  it('have a broker by its URL, whose password no problem shows', () => {
    expect(load({ argv: ['--broker', 'redis://:pass@host:6379'] }).broker).toBe('redis://:pass@host:6379');
    expect(load({ env: { TIDEGATE_BROKER: 'rediss://host' } }).broker).toBe('rediss://host');
    expect(load({ argv: ['--broker', 'nats://u:p@host:4222'] }).broker).toBe('nats://u:p@host:4222');
    expect(load({ argv: ['--broker', 'tls://host'] }).broker).toBe('tls://host');
    expect(load({ argv: ['--broker', 'memory'] }).broker).toBe('memory');
    const expected =
      'expected memory, or an URL that begins with redis://, rediss://, nats:// or tls:// and has a host; in its password @ / ? # and % are written %40 %2F %3F %23 and %25';
    const wrong = [
      'amqp://u:pass@host',
      'host:6379',
      'redis',
      'redis://',
      'redis:///0',
      'redis:user:pass@host',
      'redis://user:pass@host:port',
      'redis://user:1/pass@host:6379',
      'redis://pa#ss@host',
      'redis://pa/ss@host',
      'redis://user:1?pass@host',
      'nats://',
      'nats:user:pass@host',
      'nats://user:1/pass@host:4222',
    ];
    for (const url of wrong)
      expect(problems({ argv: ['--broker', url] })).toEqual([`flag --broker: ${expected}`]);
    expect(problems({ argv: ['--config', 't.yaml'], files: { 't.yaml': 'broker: 12345' } })).toEqual([
      `t.yaml: broker: ${expected}`,
    ]);
  });

  it('and tokens have secrets that no problem shows, even when YAML takes them for numbers', () => {
    const yaml = 'streams: { secret: 12345678 }\nauth: { keys: [{ algorithm: HS256, key: 12345678 }] }';
    expect(problems({ argv: ['--config', 't.yaml'], files: { 't.yaml': yaml } }).toSorted()).toEqual([
      't.yaml: auth.keys[0].key: expected a key, in quotes',
      't.yaml: streams.secret: expected a secret, in quotes',
    ]);
  });

  it('have a secret from the environment, a file or the YAML file', () => {
    expect(load({ env: { TIDEGATE_STREAM_SECRET: secret } }).streams.secret).toBe(secret);
    const files = { 'cursor.key': `${secret}\n`, 'conf/t.yaml': 'streams: { secretFile: ../cursor.key }' };
    expect(load({ argv: ['--stream-secret-file', 'cursor.key'], files }).streams.secret).toBe(secret);
    expect(load({ argv: ['--config', 'conf/t.yaml'], files }).streams.secret).toBe(secret);
    const other = { TIDEGATE_STREAM_SECRET: `${secret}2` };
    expect(load({ argv: ['--config', 'conf/t.yaml'], files, env: other }).streams.secret).toBe(`${secret}2`);
  });

  it('refuse a secret that is short, unreadable or given twice, and show none', () => {
    expect(problems({ env: { TIDEGATE_STREAM_SECRET: 'short' } })).toEqual([
      'environment TIDEGATE_STREAM_SECRET: a secret has at least 32 bytes, this one has 5; openssl rand -hex 32 prints a good one',
    ]);
    expect(problems({ argv: ['--stream-secret-file', 'none'] })).toEqual([
      'flag --stream-secret-file: cannot read none: no such file',
    ]);
    const env = { TIDEGATE_STREAM_SECRET: secret, TIDEGATE_STREAM_SECRET_FILE: 'x' };
    expect(problems({ env, files: { x: secret } })).toEqual([
      'environment TIDEGATE_STREAM_SECRET_FILE: give this or TIDEGATE_STREAM_SECRET, not both',
    ]);
    expect(problems({ yaml: `streams: { secret: ${secret}, secretFile: x }`, files: { x: secret } })).toEqual(
      ['tidegate.yaml: streams.secretFile: expected secret or secretFile'],
    );
  });

  it('have the secret of the flag before that of the environment, and that before that of the file', () => {
    const yaml = `streams: { secret: ${secret}1 }`;
    const env = { TIDEGATE_STREAM_SECRET: `${secret}2` };
    const files = { x: `${secret}3` };
    expect(load({ yaml, env }).streams.secret).toBe(`${secret}2`);
    expect(load({ yaml, env, files, argv: ['--stream-secret-file', 'x'] }).streams.secret).toBe(`${secret}3`);
  });

  it('keep their times within bounds', () => {
    expect(load({ argv: ['--lifetime', '0', '--lease', '2s'] }).streams).toMatchObject({
      lifetimeMs: 0,
      leaseMs: 2_000,
    });
    expect(problems({ argv: ['--lease', '500ms'] })).toEqual([
      "flag --lease: expected a duration such as 1500 (ms), 1500ms or 30s, from 1000ms to 24d, not '500ms'",
    ]);
    expect(problems({ argv: ['--lease', '2m'] })).toEqual([
      'flag --lease: expected a duration from 1s to 1m',
    ]);
  });
});

describe('nearest', () => {
  it('suggests only what is near', () => {
    expect(nearest('hots', ['host', 'port'])).toBe('host');
    expect(nearest('x', ['host', 'port'])).toBeUndefined();
    expect(nearest('completely', ['host', 'port'])).toBeUndefined();
  });

  it('tells a slip from a word of its own', () => {
    const words = ['public', 'authenticated', 'nobody'];
    for (const slip of ['publc', 'Public', 'publick', 'autenticatd', 'nobdy'])
      expect(isMisspelt(slip, words)).toBe(true);
    for (const word of ['public', 'publish', 'staff', 'authors', 'orders:read', ''])
      expect(isMisspelt(word, words)).toBe(false);
  });
});
