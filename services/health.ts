/** grpc.health.v1.Health by grpc-health-check, made to end its watches when the server stops. */
import type { ServerWritableStream, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { service as definition, HealthImplementation } from 'grpc-health-check';
import { toStatus } from './errors.js';
import type { Service } from './server.js';

export const HEALTH_SERVICE = 'grpc.health.v1.Health';

export interface Health {
  readonly service: Service;
  /** Tells all who ask, and all who watch, that no service is serving any longer. */
  readonly stop: () => void;
}

/** SERVING for each of the services, and for the server as a whole: the empty name. */
export function createHealth(services: readonly string[], stopping: AbortSignal): Health {
  const names = ['', ...services];
  const health = new HealthImplementation(Object.fromEntries(names.map((name) => [name, 'SERVING'])));
  let implementation: UntypedServiceImplementation = {};
  health.addToServer({
    addService: (_definition, methods) => {
      implementation = methods as UntypedServiceImplementation;
    },
  });
  const { watch } = implementation;
  return {
    service: {
      definition: definition as unknown as ServiceDefinition,
      implementation: { ...implementation, watch: endingWatch(watch as Watch, stopping) },
    },
    stop: () => {
      for (const name of names) health.setStatus(name, 'NOT_SERVING');
    },
  };
}

type Watch = (call: ServerWritableStream<unknown, unknown>) => void;

/** A watch has no end of its own: while one is open, a server would wait in vain for its last call. */
function endingWatch(watch: Watch, stopping: AbortSignal): Watch {
  return (call) => {
    watch(call);
    const stop = () => call.emit('error', toStatus(stopping.reason));
    stopping.addEventListener('abort', stop);
    call.on('close', () => stopping.removeEventListener('abort', stop));
  };
}
