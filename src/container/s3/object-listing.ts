// Lists objects page by page, in the byte order of their keys. Must never lose one: a page that is not the one that was asked for is asked for again, and an order that cannot be right ends the listing with an error.

import type { ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { BackupError } from '../../core/errors.js';
import { compareFileNames } from '../../core/file-name.js';
import type { S3Calls } from './s3-calls.js';
import { isNoSuchBucket, requestError } from './s3-error.js';
import type { S3Settings } from './settings.js';

export interface ListedObject {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
}

/** Where a page begins: behind a key, or, after a page without any, where the store says. */
interface Position {
  readonly after: string | undefined;
  readonly token: string | undefined;
}

interface Page {
  readonly objects: readonly ListedObject[];
  /** Undefined: this was the last one. */
  readonly next: Position | undefined;
}

/** Pages without a key, one after the other: a bound for a store that never comes to an end. */
const MOST_EMPTY_PAGES = 10_000;

/** Keys that start with `prefix`, a page at a time. None if there is no such bucket. `pageSize`: for tests; a store gives 1,000 at most. */
export async function* listObjects(
  calls: S3Calls,
  settings: S3Settings,
  prefix: string,
  pageSize?: number,
): AsyncGenerator<readonly ListedObject[], void, undefined> {
  let position: Position = { after: undefined, token: undefined };
  for (let empty = 0; empty < MOST_EMPTY_PAGES;) {
    const from = position;
    const page = await calls.run({ doing: 'listing' }, (signal) =>
      askForPage(settings, prefix, from, pageSize, signal),
    );
    if (page.objects.length > 0) yield page.objects;
    if (page.next === undefined) return;
    empty = page.objects.length > 0 ? 0 : empty + 1;
    position = page.next;
  }
  throw brokenListing(settings, `it has not ended after ${MOST_EMPTY_PAGES} pages without a key`, false);
}

/** The page behind the position; an error that is tried again if it is another one. */
async function askForPage(
  settings: S3Settings,
  prefix: string,
  position: Position,
  pageSize: number | undefined,
  abortSignal: AbortSignal,
): Promise<Page> {
  const { client, bucket } = settings;
  const { after, token } = position;
  const command = new ListObjectsV2Command({
    Bucket: bucket,
    Prefix: prefix,
    // Names may have characters that XML cannot hold.
    EncodingType: 'url',
    ...(pageSize === undefined ? {} : { MaxKeys: pageSize }),
    // By the last key rather than by the store's token: what page is meant is known on this side too.
    ...(token === undefined ? { StartAfter: after } : { ContinuationToken: token }),
  });
  let answer: ListObjectsV2CommandOutput;
  try {
    answer = await client.send(command, { abortSignal });
  } catch (error) {
    const failure = requestError(error);
    if (failure !== undefined && isNoSuchBucket(failure)) return { objects: [], next: undefined };
    throw error;
  }
  return checkPage(settings, prefix, position, answer);
}

function checkPage(
  settings: S3Settings,
  prefix: string,
  { after, token }: Position,
  answer: ListObjectsV2CommandOutput,
): Page {
  const decode = (text: string) => (answer.EncodingType === 'url' ? decodeKey(text) : text);
  // Not every store encodes what it repeats.
  const isAnswerTo = (asked = '', echoed: string | undefined) =>
    echoed === undefined || echoed === asked || decode(echoed) === asked;
  // The store repeats what it was asked; if it was something else, this is another page (a proxy's, say).
  if (!isAnswerTo(prefix, answer.Prefix) || (token === undefined && !isAnswerTo(after, answer.StartAfter)))
    throw brokenListing(settings, 'the store has answered with another page than it was asked for', true);
  const objects: ListedObject[] = [];
  let before = after;
  for (const { Key, Size } of answer.Contents ?? []) {
    const key = Key === undefined ? undefined : decode(Key);
    if (key?.startsWith(prefix) !== true || Size === undefined)
      throw brokenListing(settings, `the store lists ${JSON.stringify(key)} with the prefix ${prefix}`, true);
    if (before !== undefined && compareFileNames(before, key) >= 0)
      throw brokenListing(settings, `it is not in order: ${JSON.stringify(key)} after ${JSON.stringify(before)}`, true);
    before = key;
    objects.push({ key, size: Size });
  }
  const count = objects.length + (answer.CommonPrefixes?.length ?? 0);
  if (answer.KeyCount !== undefined && answer.KeyCount !== count)
    throw brokenListing(settings, `a page says that it has ${answer.KeyCount} keys, and has ${count}`, true);
  if (answer.IsTruncated !== true) return { objects, next: undefined };
  if (objects.length > 0) return { objects, next: { after: before, token: undefined } };
  const next = answer.NextContinuationToken;
  if (next === undefined || next === token)
    throw brokenListing(settings, 'a page has no key, and there is said to be more', true);
  return { objects, next: { after, token: next } };
}

function decodeKey(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    // Not encoded after all.
    return text;
  }
}

function brokenListing({ url }: S3Settings, what: string, retryable: boolean): BackupError {
  return new BackupError('CONTAINER_UNAVAILABLE', `listing ${url} failed: ${what}`, { container: url, retryable });
}
