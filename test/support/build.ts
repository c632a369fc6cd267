/** Compiles the project once before the tests, since some of them run the `tidegate` command from dist/. */
import { execFileSync } from 'node:child_process';

export function setup(): void {
  execFileSync('npm', ['run', '-s', 'build'], { stdio: 'inherit' });
}
