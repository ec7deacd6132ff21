// What the store says of a fleet: who is a member, and who is to run which worker. A lease and an assignment hold the same bytes: a host under one lease.

import { JsonReader, encodeJson } from './json-reader.js';

/** A host as long as it holds one lease. Under the next lease it is somebody else. */
export interface FleetMember {
  readonly host: string;
  /** Random: unlike that of any other lease, now or ever. */
  readonly leaseId: string;
}

export function encodeMember({ host, leaseId }: FleetMember): Uint8Array {
  return encodeJson({ host, leaseId });
}

export function decodeMember(key: string, value: Uint8Array): FleetMember {
  const json = JsonReader.parse(key, value);
  return { host: json.text('host'), leaseId: json.text('leaseId') };
}

export function isSameMember(a: FleetMember | undefined, b: FleetMember): boolean {
  return a?.host === b.host && a.leaseId === b.leaseId;
}

/** A value unlike the one before it: all that anyone wants of it is that it changes. */
export function encodeChange(changeId: string): Uint8Array {
  return encodeJson({ changeId });
}
