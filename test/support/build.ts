/** Compiles the project once before the tests, since some of them run the `tidegate` command from dist/. */
import { spawnSync } from 'node:child_process';

export function setup(): void {
  const { status } = spawnSync('npm', ['run', '-s', 'build'], { stdio: 'ignore' });
  if (status !== 0) process.stderr.write('the build has type errors: run `npm run types`\n');
}
