// Call options for reads whose answer may turn out to be larger than the client takes. Such an answer is nobody's failure: the same is asked for again in smaller pieces.
//
// Without them etcd3 takes gRPC's RESOURCE_EXHAUSTED for a failure of the host: it asks three more times, closes all that goes to the host, watches of others included, and after three such
// failures sends nothing there for five seconds (its default policies).

import type { Etcd3 } from 'etcd3';

type CallOptions = NonNullable<Parameters<Etcd3['kv']['range']>[1]>;
type Interceptor = NonNullable<CallOptions['interceptors']>[number];

/** gRPC's status codes. */
const RESOURCE_EXHAUSTED = 8;
const OUT_OF_RANGE = 11;

/** Says `OUT_OF_RANGE` where grpc-js says that a message is larger than it takes: the words stay, and etcd3 passes it on as an answer. */
export const SMALL_ANSWERS: CallOptions = {
  interceptors: [
    (options, nextCall) => {
      const call = nextCall(options);
      const start = call.start.bind(call);
      call.start = (metadata, listener) => {
        start(metadata, {
          onReceiveMetadata: (received) => listener?.onReceiveMetadata?.(received),
          onReceiveMessage: (message) => listener?.onReceiveMessage?.(message),
          onReceiveStatus: (status) => {
            const isTooLarge = Number(status.code) === RESOURCE_EXHAUSTED && status.details.includes('larger than max');
            listener?.onReceiveStatus?.(isTooLarge ? Object.assign({}, status, { code: OUT_OF_RANGE }) : status);
          },
        });
      };
      // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- gRPC uses no more of it than its interface; the class is in a package that is the client's, not ours
      return call as ReturnType<Interceptor>;
    },
  ],
};
