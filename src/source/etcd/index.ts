// The public face of `tidemark/source/etcd`: nothing but re-exports.

export { etcdEpoch } from './epoch.js';
export type { EtcdEpoch, EtcdEpochOptions } from './epoch.js';
export type { EtcdCompactOptions } from './log-compaction.js';
export { EtcdLogSource } from './log-source.js';
export type { EtcdLogOptions } from './log-source.js';
export { ETCD_GRPC_OPTIONS, prefixRange } from './options.js';
export type { EtcdOptions } from './options.js';
export { EtcdRangeSource } from './range-source.js';
export type { EtcdRangeOptions } from './range-source.js';
export { EtcdRestoreTarget } from './target-restore.js';
export type { EtcdRestoreTargetOptions } from './target-restore.js';
