/**
 * Runs the example services: HOST (default 127.0.0.1) and SERVICES_PORT (default 50051) say where, TIDEGATE_BROKER (default memory) where chat
 * keeps its rooms.
 */
import { startServices } from './services.js';

const text = process.env.SERVICES_PORT ?? '50051';
const port = Number(text);
const host = process.env.HOST ?? '127.0.0.1';

try {
  if (!/^[0-9]+$/.test(text) || port > 65_535) {
    throw new Error(`SERVICES_PORT: must be 0 to 65535, not ${text}`);
  }
  const services = await startServices({ host, port, broker: process.env.TIDEGATE_BROKER });
  // Before the line that says it is ready: whoever reads that may stop it at once.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void services.close());
  console.log(`orders, quotes and chat on ${services.address}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
