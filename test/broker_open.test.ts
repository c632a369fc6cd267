/** Brokers are opened by their URLs; what is wrong with one is told without its password. */
import { expect, it } from 'vitest';
import { openBroker } from '../src/broker/open.js';

it.each(['memory', undefined])('%s is the memory of this node', async (url) => {
  const broker = await openBroker(url);
  expect(broker.kind).toBe('memory');
  await broker.close();
});

it.each([
  ['', /empty/],
  ['hunter2@host', /^broker host: not an URL/],
  ['redis://user:hunter2/#@host:6379', /^broker redis:\/\/host:6379: not an URL/],
  ['redis://:hunter2@', /^broker redis:\/\/: not an URL/],
  ['redis://user:1/hunter2@host', /^broker redis:\/\/host: the path is the number of a database/],
  ['redis://:hun@hunter2@host/x', /^broker redis:\/\/host\/x: the path is the number of a database/],
  ['redis:user:hunter2@host', /^broker redis:host: no host/],
  ['amqp://:hunter2@host', /^broker amqp:\/\/host: memory, redis:\/\/, /],
  ['nats://user:1/hunter2@host', /^broker nats:\/\/host: a path means nothing/],
  ['nats://hunter2@host/x', /^broker nats:\/\/host\/x: a path means nothing/],
  ['nats://user:hunter2%@host', /^broker nats:\/\/host: a % of the password/],
  ['nats://:hunter2@', /^broker nats:\/\/: not an URL/],
  ['tls:hunter2@host', /^broker tls:host: no host/],
])('%s is refused, and nothing of a password is told', async (url, problem) => {
  const opening = openBroker(url);
  await expect(opening).rejects.toThrow(problem);
  await expect(opening).rejects.toThrow(
    expect.objectContaining({ message: expect.not.stringContaining('hunter2') }),
  );
});
