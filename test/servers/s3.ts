// A real S3 server on loopback, in a process of its own, started and stopped by the tests themselves.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { S3Client } from '@aws-sdk/client-s3';

const PROCESS = fileURLToPath(new URL('../../examples/servers/s3-process.ts', import.meta.url));

/** What s3rver knows. */
export const S3_CREDENTIALS = { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' };

export interface S3ServerOptions {
  /** Whether it heeds `If-None-Match: *`. Default true; without, it is s3rver as it comes, which ignores it. */
  readonly conditionalWrites?: boolean;
}

export interface S3Server {
  /** `http://127.0.0.1:…` */
  readonly url: string;
  readonly port: number;
  /** A client of the server. The caller's to destroy. */
  client(): S3Client;
  /** Kills the server and removes its data. */
  stop(): Promise<void>;
}

export async function startS3({ conditionalWrites = true }: S3ServerOptions = {}): Promise<S3Server> {
  const folder = await mkdtemp(path.join(tmpdir(), 'tidemark-s3-'));
  const child = spawn(
    process.execPath,
    // s3rver encrypts the tokens of its listings with a cipher that OpenSSL 3 counts among the old ones.
    ['--openssl-legacy-provider', '--import', 'tsx', PROCESS, folder, conditionalWrites ? 'conditional' : 'plain'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const gone = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGKILL');
    await gone;
    await rm(folder, { recursive: true, force: true });
  };
  const line = await Promise.race([once(createInterface(child.stdout), 'line'), gone.then(() => undefined)]);
  const port = Number(line?.[0]);
  if (line === undefined || !Number.isInteger(port)) {
    await stop();
    throw new Error('the S3 server has not started');
  }
  const url = `http://127.0.0.1:${port}`;
  // A connection that was idle may be closed just as it is used again.
  return { url, port, client: () => s3Client(url, 3), stop };
}

/** A client of a server at `url`, be it a proxy. */
export function s3Client(url: string, maxAttempts = 1): S3Client {
  return new S3Client({
    endpoint: url,
    region: 'us-east-1',
    forcePathStyle: true,
    maxAttempts,
    credentials: S3_CREDENTIALS,
  });
}
