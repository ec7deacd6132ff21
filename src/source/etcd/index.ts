// The public face of `tidemark/source/etcd`: nothing but re-exports.

export { ETCD_GRPC_OPTIONS, prefixRange } from './options.js';
export type { EtcdOptions } from './options.js';
