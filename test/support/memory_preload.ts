/** Preloaded into a gateway whose memory is measured (`node --expose-gc --import`): at SIGUSR2, collects garbage and prints what is left. */

process.on('SIGUSR2', () => {
  // Twice: the second collection frees what the first one has found to be empty.
  globalThis.gc?.();
  globalThis.gc?.();
  process.stdout.write(`memory ${JSON.stringify(process.memoryUsage())}\n`);
});
