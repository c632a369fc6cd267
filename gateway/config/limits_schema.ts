/** The settings of how much and how long. */
import { z } from 'zod';
import { duration, MIB, size, whole } from './leaves.js';

export const limits = z
  .strictObject({
    bodyBytes: size(1).default(4 * MIB),
    frameBytes: size(128).default(64 * 1024),
    headerBytes: size(1024).default(16 * 1024),
    replyBytes: size(1).default(4 * MIB),
    streamsPerSocket: whole('a number', 1, 100_000).default(100),
    queuedMessages: whole('a number', 1, 100_000).default(64),
  })
  .prefault({});

export const timeouts = z
  .strictObject({
    unaryMs: duration(0).default(30_000),
    maxMs: duration(0).default(0),
    acceptMs: duration(0).default(200),
    heartbeatMs: duration(100).default(25_000),
    helloMs: duration(1).default(10_000),
    bodyMs: duration(0).default(20_000),
    drainMs: duration(0).default(10_000),
    startMs: duration(0).default(30_000),
  })
  .prefault({});
