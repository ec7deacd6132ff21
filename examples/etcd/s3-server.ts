// The S3 server, in a process of its own: npm's s3rver, put right where it differs from S3. For demos and tests, not for backups that somebody needs.

import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { S3Client } from '@aws-sdk/client-s3';
import { stopChild, type Child, type Children } from './children.js';

const SCRIPT = fileURLToPath(new URL('../servers/s3-process.ts', import.meta.url));

export class S3Server {
  readonly endpoint: string;
  readonly #child: Child;

  private constructor(endpoint: string, child: Child) {
    this.endpoint = endpoint;
    this.#child = child;
  }

  /** Resolves when it listens. */
  static async start(children: Children, folder: string, signal: AbortSignal): Promise<S3Server> {
    // s3rver encrypts the tokens of its listings with a cipher that OpenSSL 3 counts among the old ones.
    const node = ['--openssl-legacy-provider', '--import', import.meta.resolve('tsx')];
    const child = children.start(process.execPath, [...node, SCRIPT, folder, 'conditional'], 'input');
    try {
      const port = await awaitPort(child, signal);
      return new S3Server(`http://127.0.0.1:${port}`, child);
    } catch (error) {
      await stopChild(child.process, 'SIGKILL');
      throw error;
    }
  }

  stop(): Promise<void> {
    return stopChild(this.#child.process, 'SIGTERM');
  }
}

/** It says the port once it listens. */
async function awaitPort(child: Child, signal: AbortSignal): Promise<number> {
  const over = new AbortController();
  const ended = once(child.process, 'exit', { signal: over.signal }).then(() => undefined);
  const spoken = child.process.stdout === null ? ended : once(child.process.stdout, 'data', { signal });
  const said = await Promise.race([spoken, ended]).finally(() => over.abort());
  const port = Number(String(said?.[0]));
  if (!Number.isInteger(port)) throw new Error(`The S3 server did not start: ${child.output()}`);
  return port;
}

/** The server's own credentials; it knows no others. */
export function s3Client(endpoint: string): S3Client {
  // The SDK tells every process on an older Node that later releases of it will want a newer one: true, and no part of what the demo shows.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  return new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' },
  });
}
