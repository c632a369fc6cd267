/** What goes wrong with logs and brokers, as callers are told. */
import { status } from '@grpc/grpc-js';
import { BrokerError } from '../../src/broker/broker.js';
import type { LogLoss, LogLost } from '../../src/broker/follower.js';
import { refused, type ServiceError } from '../errors.js';
import { printPosition } from './position.js';

const LOSSES: Readonly<Record<LogLoss, { readonly reason: string; readonly message: string }>> = {
  truncated: { reason: 'HISTORY_TRUNCATED', message: 'what follows the position is no longer kept' },
  diverged: {
    reason: 'LOG_DIVERGED',
    message: 'what was at the position was lost, and something else took its place',
  },
  epoch_changed: { reason: 'EPOCH_CHANGED', message: 'what the position belongs to was lost as a whole' },
};

/** OUT_OF_RANGE. The details name what was lost, and the position from which it goes on now. */
export function lossOf({ loss, tail }: LogLost, name: string, key: string): ServiceError {
  const { reason, message } = LOSSES[loss];
  return refused(status.OUT_OF_RANGE, reason, `${name}: ${message}`, {
    channel: name,
    position: printPosition(key, tail),
  });
}

/** What a broker answers; that it does not is UNAVAILABLE. */
export async function answered<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (thrown) {
    throw thrown instanceof BrokerError ? unavailable() : thrown;
  }
}

function unavailable(): ServiceError {
  return refused(status.UNAVAILABLE, 'BROKER_UNAVAILABLE', 'the broker does not answer: try again');
}
