// What a mutation does to the rows.

import { MutationType, type Mutation } from 'tidemark';
import type { RowChanges } from './row-changes.js';

/** Keys whose old value is needed to evaluate these mutations. */
export function keysToRead(mutations: Iterable<Mutation>): Uint8Array[] {
  const keys: Uint8Array[] = [];
  for (const mutation of mutations) if (mutation.type === MutationType.AddValue) keys.push(mutation.param1);
  return keys;
}

export async function applyMutation(changes: RowChanges, mutation: Mutation): Promise<void> {
  const { type, param1, param2 } = mutation;
  if (type === MutationType.SetValue) changes.set(param1, param2);
  else if (type === MutationType.AddValue) changes.set(param1, addLittleEndian(changes.get(param1), param2));
  else if (type === MutationType.ClearRange) await changes.clear(param1, param2);
  else throw new Error(`This database has no mutation of type ${type}`);
}

/** The old value is cut or padded with zeros to the operand's length; the carry out of the last byte is lost. */
export function addLittleEndian(old: Uint8Array | undefined, operand: Uint8Array): Uint8Array {
  const sum = new Uint8Array(operand.length);
  let carry = 0;
  for (let i = 0; i < sum.length; i++) {
    const digit = (old?.[i] ?? 0) + (operand[i] as number) + carry;
    sum[i] = digit & 0xff;
    carry = digit >> 8;
  }
  return sum;
}
