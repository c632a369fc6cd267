/**
 * Runs the Channels service by itself: HOST (default 127.0.0.1) and CHANNELS_PORT (default 50052) say where, TIDEGATE_BROKER over which broker
 * (default memory), CHANNEL_RULES which JSON file has its rules (default none).
 */
import { openBroker } from '../../src/broker/open.js';
import { loadDescriptors } from '../descriptors.js';
import { loadRules } from './rules_file.js';
import { startChannels } from './serve.js';

const {
  HOST: host = '127.0.0.1',
  CHANNELS_PORT: text = '50052',
  TIDEGATE_BROKER: url,
  CHANNEL_RULES: file,
} = process.env;
const port = Number(text);

try {
  if (!/^[0-9]+$/.test(text) || port > 65_535)
    throw new Error(`CHANNELS_PORT: must be 0 to 65535, not ${text}`);
  const rules = file === undefined ? [] : loadRules(file);
  const broker = await openBroker(url);
  const descriptors = loadDescriptors('contract.binpb');
  const server = await startChannels({ host, port, broker, rules, descriptors }).catch(
    async (thrown: unknown) => {
      await broker.close();
      throw thrown;
    },
  );
  const stop = async () => {
    await server.close();
    await broker.close();
  };
  // Before the line that says it is ready: whoever reads that may stop it at once.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void stop());
  console.log(`channels on ${server.address}, over ${broker.kind}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
