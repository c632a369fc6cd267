/** The help texts, made from the same tables that the flags are parsed with. */
import { type Flag, KEY_SETTINGS, type Setting, type SettingGroup } from '../config/settings.js';
import type { Command } from './command.js';

const INDENT = ' '.repeat(32);

/** What `tidegate --help` prints. */
export function formatOverview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    'tidegate serves gRPC services to clients of REST, Server-Sent Events and WebSocket.',
    '',
    'Usage: tidegate COMMAND [FLAGS]',
    '',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    `  ${'help'.padEnd(width)}  print the help of a command: tidegate help serve`,
    '',
    '  --version  print the version',
  ].join('\n');
}

/** What `tidegate COMMAND --help` prints: every flag with its value, environment variable, default and unit. */
export function formatHelp(
  { name, summary, description }: Command,
  flags: readonly Flag[],
  groups: readonly SettingGroup[],
): string {
  return [
    `tidegate ${name}: ${summary}`,
    '',
    `Usage: tidegate ${name} [FLAGS]`,
    '',
    ...description,
    '',
    ...flags.map(formatFlag),
    ...groups
      .filter(({ settings }) => settings.length > 0)
      .flatMap(({ title, settings }) => ['', `${title}:`, ...settings.map(formatSetting)]),
    '',
    'A flag wins over its environment variable, the variable over the YAML file. A switch is turned off by --no-FLAG.',
    'Variables that hold lists are separated by commas.',
  ].join('\n');
}

function formatFlag({ flag, value, repeatable, help }: Flag): string {
  const head = `  --${flag}${value === undefined ? '' : ` ${value}`}${repeatable ? ' ...' : ''}`;
  return head.length < INDENT.length ? `${head.padEnd(INDENT.length)}${help}` : `${head}\n${INDENT}${help}`;
}

function formatSetting(setting: Setting): string {
  const byValue = KEY_SETTINGS.filter(({ flag }) => flag === setting.flag).map(({ variable }) => variable);
  const notes = [[...setting.env, ...byValue].join(' or ')];
  if (setting.default !== undefined) notes.push(`default ${setting.default}`);
  return `${formatFlag(setting)}\n${INDENT}${notes.join('; ')}`;
}
