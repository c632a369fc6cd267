/** Checks docker-compose.yml without an engine: it parses, and it has the services with images or builds, ports and health. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

const { services } = parse(readFileSync(new URL('../docker-compose.yml', import.meta.url), 'utf8'));
for (const name of ['gateway', 'services', 'redis']) {
  const service = services?.[name];
  if (!service?.image && !service?.build) throw new Error(`docker-compose.yml: service ${name} needs an image or a build`);
  if (!service.healthcheck) throw new Error(`docker-compose.yml: service ${name} needs a healthcheck`);
  for (const other of Object.keys(service.depends_on ?? {})) {
    if (!services[other]) throw new Error(`docker-compose.yml: ${name} depends on ${other}, which is not there`);
  }
}
console.log(`docker-compose.yml: ${Object.keys(services).join(', ')}`);
