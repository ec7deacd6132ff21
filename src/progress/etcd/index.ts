// The face of `tidemark/progress/etcd`: nothing but re-exports. Needs the package etcd3, of which the host makes the client.

export type { EtcdProgressStoreOptions } from './etcd-progress-store.js';
export { EtcdProgressStore } from './etcd-progress-store.js';
export type { EtcdStoreClient } from './store-calls.js';
