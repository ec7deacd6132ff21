// status.ts: how the backup is, for people and for monitoring.

import { BackupOperator, describeBackup, openContainer } from 'tidemark';
import { backupUrl, connect, storeIn } from './connections.js';

const [cluster, coordination] = [connect('CLUSTER'), connect('COORDINATION')];
const { state, reason, savedVersion, snapshot } = await new BackupOperator(storeIn(coordination)).status('cluster');
const { header } = await cluster.get('any key').exec();
console.log(`${state}: ${reason}`);
console.log(`stored up to revision ${savedVersion}; the cluster is at ${header.revision}`);
console.log('last snapshot', snapshot.last, 'next', snapshot.nextDue, 'failure', snapshot.failure);

const { minRestorable, maxRestorable, notRestorable } = await describeBackup(await openContainer(backupUrl));
console.log(notRestorable ?? `restorable: revisions ${minRestorable} to ${maxRestorable}`);
cluster.close();
coordination.close();
