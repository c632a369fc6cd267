/** The settings of how much and how long. */
import { z } from 'zod';
import { boolean, duration, MIB, size, whole } from './leaves.js';

/** 0 is any number. */
const most = (max: number) => whole('a number', 0, max);
const aSecond = most(1_000_000);
const atOnce = most(10_000_000);

export const limits = z
  .strictObject({
    bodyBytes: size(1).default(4 * MIB),
    frameBytes: size(128).default(64 * 1024),
    headerBytes: size(1024).default(16 * 1024),
    replyBytes: size(1).default(4 * MIB),
    streamsPerSocket: whole('a number', 1, 100_000).default(100),
    queuedMessages: whole('a number', 1, 100_000).default(64),
    urlBytes: size(0).default(12 * 1024),
    bodyBytesPerSecond: size(0).default(256),
    connections: atOnce.default(20_000),
    connectionsPerAddress: atOnce.default(1_000),
    connectionsPerPrincipal: atOnce.default(1_000),
    handshakesPerSecond: aSecond.default(1_000),
    handshakesPerAddress: aSecond.default(200),
    requestsPerSecond: aSecond.default(2_000),
    messagesPerSecond: aSecond.default(2_000),
    badTokensPerSecond: aSecond.default(100),
    streamsPerPrincipal: atOnce.default(1_000),
    callsPerUpstream: atOnce.default(20_000),
    shared: boolean().default(true),
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
    headersMs: duration(0).default(20_000),
    keepAliveMs: duration(0).default(65_000),
    writeMs: duration(0).default(30_000),
    idleMs: duration(0).default(600_000),
    drainMs: duration(0).default(10_000),
    startMs: duration(0).default(30_000),
  })
  .prefault({});
