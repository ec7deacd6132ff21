// Answers that come when nobody waits for them any more: a client may not heed its signal, or have its answer at the very moment when the time is over.

import type { S3Client } from '@aws-sdk/client-s3';
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { beforeEach, expect, it } from 'vitest';
import { MultipartUpload } from '../../../src/container/s3/multipart-upload.js';
import { S3Calls } from '../../../src/container/s3/s3-calls.js';
import { checkSettings } from '../../../src/container/s3/settings.js';
import { AbortScope } from '../../../src/core/abort.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';

type Answer = () => Promise<unknown> | undefined;

let clock: ManualClock;
let scope: AbortScope;
let upload: MultipartUpload;
let answers: { begin: Answer; part: Answer };
let listed: number;
/** The parts that the upload was completed with. */
let completed: readonly unknown[];
beforeEach(() => {
  clock = new ManualClock();
  scope = new AbortScope();
  answers = { begin: () => undefined, part: () => undefined };
  listed = 0;
  completed = [];
  const send = async (command: unknown) => {
    if (command instanceof CreateMultipartUploadCommand)
      return (await answers.begin()) ?? { UploadId: 'known', $metadata: { attempts: 1 } };
    if (command instanceof UploadPartCommand) return (await answers.part()) ?? { ETag: '"a"' };
    if (command instanceof CompleteMultipartUploadCommand) completed = command.input.MultipartUpload?.Parts ?? [];
    if (command instanceof ListMultipartUploadsCommand) listed++;
    return { ETag: '"whole"', Uploads: [] };
  };
  const client = { send, destroy: () => undefined } as Partial<S3Client> as S3Client;
  const settings = checkSettings(client, { bucket: 'bucket', name: 'backup' }, 's3://bucket/backup', { clock });
  upload = new MultipartUpload(new S3Calls(settings, scope.signal), settings, {
    key: 'data/backup/file',
    token: 'token',
    onlyIfNew: false,
    signal: scope.signal,
  });
});

/** The first answer of this kind comes when it is told to. */
function holdFirst(kind: 'begin' | 'part', answer: unknown): () => void {
  let release: () => void = () => undefined;
  const held = new Promise((resolve) => (release = () => resolve(answer)));
  let calls = 0;
  answers[kind] = () => (calls++ === 0 ? held : undefined);
  return release;
}

it('a part whose first answer comes after its second try is in the upload once', async () => {
  await upload.begin();
  const release = holdFirst('part', { ETag: '"late"' });
  const part = upload.part(1, new Uint8Array(3));
  await clock.advance(120_000);
  await part;
  release();
  await clock.settle();
  await upload.complete();
  expect(completed).toEqual([{ PartNumber: 1, ETag: '"a"' }]);
});

it('an upload that was begun by a try that was given up is looked for', async () => {
  const release = holdFirst('begin', { UploadId: 'lost', $metadata: { attempts: 1 } });
  const begin = upload.begin();
  await clock.advance(120_000);
  await begin;
  release();
  await clock.settle();
  expect(upload.hasLostAnswer).toBe(true);
  await upload.sweep();
  expect(listed).toBe(1);
});
