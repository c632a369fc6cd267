/** Service configurations (google.api.Service as YAML): what they say of methods whose .proto files cannot be edited. */
import { readFileSync } from 'node:fs';
import type { Access, HttpRule, Source, StreamOptions } from '../method.js';
import { ContractError, type ContractProblem } from './contract.js';
import { readAccessRule } from './service_config_access.js';
import { readStreamRule } from './service_config_stream.js';
import { type YamlFields, YamlReader } from './yaml_reader.js';
import { parseYaml, type YamlEntry, type YamlValue } from './yaml_value.js';

/** What one rule says of the methods that its selector matches. */
export interface ServiceRule {
  /** `pkg.Service.Method`, `pkg.Service.*`, `pkg.*` or `*`. */
  readonly selector: string;
  readonly source: Source;
  /** Instead of google.api.http of the method. */
  readonly routes?: readonly HttpRule[];
  /** Instead of tidegate.v1.access of the method. */
  readonly access?: Access;
  /** Instead of tidegate.v1.stream of the method. */
  readonly stream?: StreamOptions;
}

export interface ServiceConfig {
  /** The bytes it was read from, so that a change can be told. */
  readonly text: string;
  /** In the order of the file: of several that match a method, the last one holds. */
  readonly rules: readonly ServiceRule[];
}

/** Fields of google.api.Service (google/api/service.proto), and our own section. All but three are not for a gateway to read. */
const SERVICE_KEYS =
  'type config_version name id title producer_project_id apis types enums documentation backend http quota authentication context usage endpoints control logs metrics monitored_resources billing logging monitoring system_parameters system_types source_info publishing aspects tidegate'.split(
    ' ',
  );
const VERBS = ['get', 'put', 'post', 'delete', 'patch'] as const;
const RULE_KEYS = ['selector', ...VERBS, 'custom', 'body', 'response_body', 'additional_bindings'];
const SELECTOR = /^(?:\*|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?:\.\*)?)$/;

/** Reads one file. Throws ContractError that lists all that is wrong with it, with file and line. */
export function readServiceConfig(path: string): ServiceConfig {
  const text = readText(path);
  const problems: ContractProblem[] = [];
  const root = parseYaml(path, text, problems);
  const rules = root === undefined ? [] : new Reader(problems).service(root);
  if (problems.length > 0) throw new ContractError(problems);
  return { text, rules };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'no such file' : `cannot be read (${code})`;
    throw new ContractError([{ problem: `${path}: ${why}` }]);
  }
}

/** Reads the rules of one file. */
class Reader extends YamlReader {
  service(root: YamlValue): ServiceRule[] {
    const fields = this.fields(root, SERVICE_KEYS, 'a service configuration');
    if (fields === undefined) return [];
    const type = fields.get('type');
    if (type === undefined) this.report(root.source, 'type: google.api.Service is missing');
    else if (type.value.scalar() !== 'google.api.Service')
      this.report(type.source, 'type: expected google.api.Service');
    return [...this.#http(fields.get('http')), ...this.#own(fields.get('tidegate'))];
  }

  #http(section: YamlEntry | undefined): ServiceRule[] {
    const fields =
      section && this.fields(section.value, ['rules', 'fully_decode_reserved_expansion'], 'http');
    const fully = fields?.get('fully_decode_reserved_expansion');
    const fullyDecode = fully === undefined ? false : this.boolean(fully);
    return this.#rules(fields, (rule) => {
      const known = this.fields(rule, RULE_KEYS, 'a rule');
      if (known === undefined) return undefined;
      const head = this.#head(rule, known);
      return head && { ...head, routes: this.#routes(rule, known, fullyDecode) };
    });
  }

  #own(section: YamlEntry | undefined): ServiceRule[] {
    return this.#rules(section && this.fields(section.value, ['rules'], 'tidegate'), (rule) => {
      const known = this.fields(rule, ['selector', 'access', 'stream'], 'a rule');
      if (known === undefined) return undefined;
      const head = this.#head(rule, known);
      if (head === undefined) return undefined;
      const [access, stream] = [known.get('access'), known.get('stream')];
      if (!access && !stream) this.report(rule.source, 'the rule says nothing: give access or stream');
      return {
        ...head,
        ...(access && { access: readAccessRule(access, this) }),
        ...(stream && { stream: readStreamRule(stream, this) }),
      };
    });
  }

  #rules(fields: YamlFields | undefined, read: (rule: YamlValue) => ServiceRule | undefined): ServiceRule[] {
    const rules = fields?.get('rules');
    if (rules === undefined) return [];
    return this.list(rules).flatMap((rule) => {
      this.rule = undefined;
      return read(rule) ?? [];
    });
  }

  /** What every rule begins with. From here on, problems name the selector. */
  #head(
    rule: YamlValue,
    fields: YamlFields,
  ): { readonly selector: string; readonly source: Source } | undefined {
    const entry = fields.get('selector');
    if (entry === undefined) {
      this.report(rule.source, 'the rule has no selector: give pkg.Service.Method');
      return undefined;
    }
    const selector = this.text(entry);
    if (!SELECTOR.test(selector)) {
      this.report(entry.source, 'selector: expected pkg.Service.Method, pkg.Service.*, pkg.* or *');
      return undefined;
    }
    this.rule = selector;
    return { selector, source: entry.source };
  }

  #routes(rule: YamlValue, fields: YamlFields, fullyDecode: boolean): HttpRule[] {
    const more = fields.get('additional_bindings');
    const others = (more ? this.list(more) : []).flatMap((binding) => {
      const known = this.fields(binding, RULE_KEYS, 'a binding');
      if (known?.has('additional_bindings'))
        this.report(binding.source, 'additional_bindings cannot have additional_bindings of their own');
      return (known && this.#route(binding, known, fullyDecode)) ?? [];
    });
    return [this.#route(rule, fields, fullyDecode) ?? [], others].flat();
  }

  #route(rule: YamlValue, fields: YamlFields, fullyDecode: boolean): HttpRule | undefined {
    const patterns = [...VERBS, 'custom'].flatMap((name) => fields.get(name) ?? []);
    const [first, second] = patterns;
    if (first === undefined) {
      this.report(
        rule.source,
        'the rule has no pattern: give an HTTP method (get, put, post, delete, patch or custom)',
      );
      return undefined;
    }
    if (second) this.report(second.source, `a rule has one pattern: ${first.key} or ${second.key}, not both`);
    const pattern =
      first.key === 'custom'
        ? this.#custom(first)
        : { verb: first.key.toUpperCase(), template: this.text(first) };
    const text = (name: string) => {
      const entry = fields.get(name);
      return entry === undefined ? '' : this.text(entry);
    };
    if (pattern === undefined) return undefined;
    return {
      ...pattern,
      body: text('body'),
      responseBody: text('response_body'),
      ...(fullyDecode && { fullyDecode }),
      source: first.source,
    };
  }

  #custom(entry: YamlEntry): { readonly verb: string; readonly template: string } | undefined {
    const fields = this.fields(entry.value, ['kind', 'path'], 'custom');
    if (fields === undefined) return undefined;
    const [kind, path] = [fields.get('kind'), fields.get('path')];
    if (kind && path) return { verb: this.text(kind), template: this.text(path) };
    this.report(entry.source, 'custom: give kind (an HTTP method, or *) and path');
    return undefined;
  }
}
