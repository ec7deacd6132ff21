// Stores of a FakeTikv behind real sockets, with gRPC. What a request and an answer look like on the wire is the codec's matter: ours, or one made from a .proto.

import * as grpc from '@grpc/grpc-js';
import { loadBrMessages } from '../../src/format/br/proto/load.js';
import type { FakeTikv } from './fake-tikv.js';

export const METHOD = '/backup.Backup/backup';

export interface RunningStore {
  readonly address: string;
  readonly server: grpc.Server;
  /** Calls under way. */
  running: number;
  stop(): void;
}

/** One server for each store of the cluster. */
export async function startStores(tikv: FakeTikv): Promise<RunningStore[]> {
  const messages = await loadBrMessages();
  return await Promise.all(
    Array.from({ length: tikv.storeCount }, (_, store) =>
      startServer(async (bytes, signal, send) => {
        const request = messages.decode('BackupRequest', bytes);
        for await (const answer of tikv.answer(store, request, signal)) {
          await send(messages.encode('BackupResponse', answer));
        }
      }),
    ),
  );
}

export type Handler = (
  request: Uint8Array,
  signal: AbortSignal,
  send: (answer: Uint8Array) => Promise<void>,
) => Promise<void>;

/** A server with the one method; what the handler throws is the status (a grpc.StatusObject), or UNKNOWN. */
export async function startServer(handler: Handler): Promise<RunningStore> {
  const server = new grpc.Server();
  const asItIs = (bytes: Buffer) => bytes;
  const store = { running: 0 };
  const backup = {
    path: METHOD,
    requestStream: false,
    responseStream: true,
    ...{ requestSerialize: asItIs, requestDeserialize: asItIs, responseSerialize: asItIs, responseDeserialize: asItIs },
  };
  const answer = async (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
    const controller = new AbortController();
    store.running++;
    call.on('cancelled', () => controller.abort(new Error('cancelled')));
    try {
      await handler(call.request, controller.signal, async (bytes) => {
        await new Promise((resolve) => call.write(Buffer.from(bytes), resolve));
      });
      call.end();
    } catch (error) {
      call.emit('error', error);
    } finally {
      store.running--;
    }
  };
  server.addService({ backup }, { backup: (call: grpc.ServerWritableStream<Buffer, Buffer>) => void answer(call) });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    }),
  );
  return Object.assign(store, { address: `127.0.0.1:${port}`, server, stop: () => server.forceShutdown() });
}
