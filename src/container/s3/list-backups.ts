// Which backups a bucket holds, by their entries in the index.

import { AbortScope } from '../../core/abort.js';
import type { OpenS3Options } from '../s3-options.js';
import { parseContainerUrl } from './container-url.js';
import { listObjects } from './object-listing.js';
import { makeClient } from './open-s3-container.js';
import { S3Calls } from './s3-calls.js';
import { INDEX_FOLDER, checkSettings } from './settings.js';

/**
 * The names of the backups in a bucket, in byte order: `s3://bucket`, or `blobstore://host?bucket=b`. A name after the bucket is a prefix of names. None if there is no such bucket.
 *
 * Throws INVALID_OPTION, and what listing a container throws.
 */
export async function listS3Backups(url: string, options: OpenS3Options = {}): Promise<string[]> {
  const location = parseContainerUrl(url, true);
  const client = makeClient(location, options);
  try {
    using scope = new AbortScope();
    const place = { bucket: location.bucket, name: location.name === '' ? 'any' : location.name };
    const settings = checkSettings(client, place, location.url, options);
    const names: string[] = [];
    const pages = listObjects(new S3Calls(settings, scope.signal), settings, INDEX_FOLDER + location.name);
    for await (const page of pages) {
      for (const { key } of page) if (!key.endsWith('/')) names.push(key.slice(INDEX_FOLDER.length));
    }
    return names;
  } finally {
    client.destroy();
  }
}
