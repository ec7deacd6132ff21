// restore.ts: what the cluster had, into the one that TARGET names:
//   restore.ts 2026-11-21T14:05:00Z config/payments/    the keys with this prefix, as of a time
//   restore.ts 123456                                   everything, as of a revision
//   restore.ts                                          everything, as of the last change that was stored

import { openContainer, restore } from 'tidemark';
import { EtcdRestoreTarget, prefixRange } from 'tidemark/source/etcd';
import { backupUrl, connect } from './connections.js';

const [when, prefix] = process.argv.slice(2);
const wanted =
  when === undefined
    ? { version: 'latest' as const }
    : /^\d+$/.test(when)
      ? { version: BigInt(when) }
      : { timestamp: new Date(when) };

const client = connect('TARGET');
const result = await restore({
  container: await openContainer(backupUrl),
  target: new EtcdRestoreTarget({ client }),
  ...wanted,
  // Of a prefix, what has come since the accident is deleted first. Without one a cluster that is not empty is refused.
  ...(prefix !== undefined && { ranges: [prefixRange(prefix)], clearTarget: true }),
  onProgress: ({ phase, bytesRead, bytesTotal }) => console.log(`${phase}: ${bytesRead} of ${bytesTotal} bytes`),
});
console.log(`restored as of revision ${result.version}: ${result.operations} sets and clears`);
client.close();
