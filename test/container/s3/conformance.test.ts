// The container suite against a real server, by both forms of URL.

import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, it } from 'vitest';
import type { S3Container } from '../../../src/container/s3/s3-container.js';
import { openS3Container } from '../../../src/container/s3/open-s3-container.js';
import { containerSuite } from '../../../src/testing/container-suite.js';
import type { S3Server } from '../../servers/s3.js';
import { S3_CREDENTIALS, startS3 } from '../../servers/s3.js';

let server: S3Server;
beforeAll(async () => {
  server = await startS3();
}, 60_000);
afterAll(() => server.stop());

/** Each case has a bucket of its own. */
function open(urlOf: (bucket: string, name: string) => string) {
  const url = urlOf(`tidemark-${randomBytes(6).toString('hex')}`, 'dir/backup-1');
  const opened: S3Container[] = [];
  const reopen = () => {
    const container = openS3Container(url, { credentials: S3_CREDENTIALS });
    opened.push(container);
    return container;
  };
  return {
    container: reopen(),
    reopen,
    cleanup: () => {
      for (const container of opened) container.close();
    },
  };
}

describe('S3Container at an s3:// URL', () => {
  const urlOf = (bucket: string, name: string) => `s3://${bucket}/${name}?endpoint=${server.url}&region=us-east-1`;
  for (const { name, run } of containerSuite(() => open(urlOf))) it(name, run, 60_000);
});

describe('S3Container at a blobstore:// URL', () => {
  const urlOf = (bucket: string, name: string) =>
    `blobstore://S3RVER:S3RVER@127.0.0.1:${server.port}/${name}?bucket=${bucket}&region=us-east-1&sc=0`;
  for (const { name, run } of containerSuite(() => open(urlOf))) it(name, run, 60_000);
});
