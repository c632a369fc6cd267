/** When the gateway looks for a new contract by itself: files that were written, services that came back, and now and then. */
import { watchFiles } from '../src/contract/watch.js';
import type { Config } from './config.js';
import type { ContractLoader } from './load.js';
import type { ReloadCause } from './reload.js';

const FILES_MS = 1_000;
const REFLECTION_MS = 30_000;
/** For a service that has just come back to have all its parts ready, in ms. */
const RECONNECT_MS = 250;

export interface ReloadWatchOptions {
  readonly contract: Config['contract'];
  readonly loader: ContractLoader;
  /** What goes wrong in it is its own to tell. */
  readonly reload: (cause: ReloadCause) => Promise<unknown>;
}

/** Until the result is called. With `reloadMs` 0 it never looks. */
export function watchContract({ contract, loader, reload }: ReloadWatchOptions): () => void {
  const { reloadMs, protos } = contract;
  if (reloadMs === 0) return () => {};
  const stops: (() => void)[] = [];
  const look = async (cause: ReloadCause): Promise<void> => {
    await reload(cause).catch(() => {});
  };
  if (loader.reflects) {
    stops.push(every(reloadMs ?? REFLECTION_MS, () => void look('interval')));
    stops.push(whenBack(loader, () => void look('reconnect')));
  }
  if (loader.files().size > 0) {
    const { files, since } = loader;
    const onChange = () => look('files');
    const watch = watchFiles({ protos, files, since, intervalMs: reloadMs ?? FILES_MS, onChange });
    stops.push(() => watch.close());
  }
  return () => {
    for (const stop of stops) stop();
  };
}

function every(ms: number, run: () => void): () => void {
  const timer = setInterval(run, ms);
  timer.unref();
  return () => clearInterval(timer);
}

function whenBack({ upstreams }: ContractLoader, run: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const stop = upstreams.onReconnect(() => {
    clearTimeout(timer);
    timer = setTimeout(run, RECONNECT_MS);
    timer.unref();
  });
  return () => {
    stop();
    clearTimeout(timer);
  };
}
