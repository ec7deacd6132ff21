// From a URL to a container, by the URL's scheme. What belongs to a package of the host's is loaded only when it is wanted.

import { BackupError } from '../core/errors.js';
import { importPackage } from '../core/import-package.js';
import { redactUrl } from '../core/redact-url.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { DirectoryContainerOptions } from './directory-container.js';
import { DirectoryContainer } from './directory-container.js';
import type { OpenS3Options } from './s3-options.js';

/** Options by the kind of container; those of other kinds are passed over, so that one object serves every URL. */
export interface OpenContainerOptions {
  /** For `file:`. */
  readonly directory?: DirectoryContainerOptions | undefined;
  /** For `s3:` and `blobstore:`. Credentials are better given here than in a URL, which a job keeps in the progress store. */
  readonly s3?: OpenS3Options | undefined;
}

/** Opens the containers of a scheme. Must not put what the URL holds of secrets into the container's `url` or into errors. */
export type OpenContainer = (url: string, options: OpenContainerOptions) => BackupContainer | Promise<BackupContainer>;

const S3_PACKAGE = '@aws-sdk/client-s3';

const builtIn: ReadonlyMap<string, OpenContainer> = new Map<string, OpenContainer>([
  ['file', (url, options) => new DirectoryContainer(url, options.directory)],
  ['s3', openS3],
  ['blobstore', openS3],
]);

/** Of this process: what a host has registered. */
const registered = new Map<string, OpenContainer>();

/**
 * The container at a URL: `file:///abs/path`, `s3://bucket/name`, `blobstore://key:secret@host/name?bucket=b` (docs/guides/s3.md), or of a scheme that was registered. Nothing is made or asked yet. Fit for the
 * `openContainer` of a BackupWorker, as it is or as `(url) => openContainer(url, options)`.
 *
 * Throws INVALID_OPTION for a URL that no one can open; PACKAGE_MISSING where `@aws-sdk/client-s3` is needed and not installed.
 */
export async function openContainer(url: string, options: OpenContainerOptions = {}): Promise<BackupContainer> {
  if (typeof url !== 'string') throw new BackupError('INVALID_OPTION', `url must be a string, got ${typeof url}`);
  const scheme = schemeOf(url);
  const open = scheme === undefined ? undefined : (registered.get(scheme) ?? builtIn.get(scheme));
  if (open === undefined) {
    const known = [...builtIn.keys(), ...registered.keys()].map((name) => `${name}://`).join(', ');
    throw new BackupError(
      'INVALID_OPTION',
      `url ${JSON.stringify(redactUrl(url))} has no scheme that is known: it may be ${known}; registerContainer adds others`,
    );
  }
  return open(url, options);
}

/**
 * Adds a scheme for the whole process, such as `azure`, and gives back the function that removes it. Throws INVALID_OPTION for what is no scheme; INVALID_STATE for one that is taken.
 */
export function registerContainer(scheme: string, open: OpenContainer): () => void {
  if (typeof scheme !== 'string' || !/^[a-z][a-z0-9+.-]+$/.test(scheme)) {
    throw new BackupError(
      'INVALID_OPTION',
      `scheme must be what a URL begins with, without "://" and in small letters, got ${JSON.stringify(scheme)}`,
    );
  }
  if (typeof open !== 'function') throw new BackupError('INVALID_OPTION', 'open must be a function');
  if (builtIn.has(scheme) || registered.has(scheme))
    throw new BackupError('INVALID_STATE', `the scheme ${scheme} is taken already`);
  registered.set(scheme, open);
  return () => {
    if (registered.get(scheme) === open) registered.delete(scheme);
  };
}

/** Undefined: none. One letter is a drive of Windows. */
function schemeOf(url: string): string | undefined {
  return /^([a-z][a-z0-9+.-]+):/i.exec(url)?.[1]?.toLowerCase();
}

async function openS3(url: string, options: OpenContainerOptions): Promise<BackupContainer> {
  const { openS3Container } = await importS3();
  return openS3Container(url, options.s3);
}

function importS3() {
  return importPackage(S3_PACKAGE, 'containers in S3 need', () => import('./s3/open-s3-container.js'));
}
