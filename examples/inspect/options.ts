// The command line of `npm run inspect`.

import { readFile, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { parseArgs } from 'node:util';
import type { BrCipher, BrCipherMethod } from 'tidemark/br';

export const USAGE = `npm run inspect -- backupmeta PATH [--json] [--key-file FILE [--method METHOD]]
  PATH              a backup's folder, or its file backupmeta
  --json            one JSON object instead of mbr's text
  --key-file FILE   the key of an encrypted backup, in hex
  --method METHOD   aes128-ctr, aes192-ctr or aes256-ctr (default: what the key's length says)`;

const METHODS: readonly BrCipherMethod[] = ['aes128-ctr', 'aes192-ctr', 'aes256-ctr'];

export interface InspectOptions {
  readonly folder: string;
  /** Of the file with the meta data. */
  readonly name: string;
  readonly json: boolean;
  readonly cipher: BrCipher | undefined;
}

/** What is wrong with the command line; the message is for the person who wrote it. */
export class UsageError extends Error {}

export async function readOptions(args: readonly string[]): Promise<InspectOptions> {
  const { values, positionals } = parse(args);
  const [job, path, ...more] = positionals;
  if (job !== 'backupmeta') throw new UsageError(`the job must be backupmeta, got ${job ?? 'none'}`);
  if (path === undefined || more.length > 0) throw new UsageError('backupmeta needs one PATH');
  const isFile = (await stat(path)).isFile();
  return {
    folder: isFile ? dirname(path) : path,
    name: isFile ? basename(path) : 'backupmeta',
    json: values.json,
    cipher: await readCipher(values['key-file'], values.method),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        'key-file': { type: 'string' },
        method: { type: 'string' },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

async function readCipher(keyFile: string | undefined, method: string | undefined): Promise<BrCipher | undefined> {
  if (keyFile === undefined) {
    if (method === undefined) return undefined;
    throw new UsageError('--method needs a --key-file');
  }
  const text = (await readFile(keyFile, 'utf8')).trim();
  const key = new Uint8Array(Buffer.from(text, 'hex'));
  // Never the text itself: it is a key, or was meant to be one.
  if (key.length * 2 !== text.length) throw new UsageError(`${keyFile} should hold a key in hex`);
  const byLength = METHODS[[16, 24, 32].indexOf(key.length)];
  const wanted = method === undefined ? byLength : METHODS.find((one) => one === method);
  if (wanted !== undefined) return { method: wanted, key };
  if (method !== undefined) throw new UsageError(`--method must be one of ${METHODS.join(', ')}, got ${method}`);
  throw new UsageError(`the key of ${keyFile} has ${key.length} bytes; it should have 16, 24 or 32`);
}
