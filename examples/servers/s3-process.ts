// The S3 server of the tests, as a process of its own: @20minutes/s3rver, put right where it differs from S3 in what a backup relies on (docs/guides/s3.md says where). HTTP, routes, XML and storage are s3rver's.
// Arguments: folder, "conditional" or "plain". Says its port on its output.

import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import S3rver from '@20minutes/s3rver';
import S3Error from '@20minutes/s3rver/lib/models/error.js';
import S3Object from '@20minutes/s3rver/lib/models/object.js';
import { Mutex } from 'async-mutex';

const OBJECT_SUFFIX = '._S3rver_object';
const MIN_PART_SIZE = 5 << 20;

const [folder = '', mode = 'conditional'] = process.argv.slice(2);
const server = new S3rver({
  address: '127.0.0.1',
  port: 0,
  silent: true,
  directory: folder,
  vhostBuckets: false,
  // Its own idea of the signature of a request for a bucket is not S3's: the path's last slash is left out.
  allowMismatchedSignatures: true,
});
const { store } = server;

/** The headers of the request that a call of the store belongs to. */
const request = new AsyncLocalStorage<Record<string, string | undefined>>();

/** The `encoding-type` that a listing was asked for with. */
const encodings = new AsyncLocalStorage<string | undefined>();

/** What is published is published in one step; conditions are looked at in the same step. */
const publishing = new Mutex();

function checkCondition(isThere: boolean): void {
  if (mode !== 'conditional' || request.getStore()?.['if-none-match'] !== '*' || !isThere) return;
  throw withStatus(
    new S3Error('PreconditionFailed', 'At least one of the pre-conditions you specified did not hold'),
    412,
  );
}

function withStatus(error: S3Error, status: number): S3Error {
  error.status = status;
  return error;
}

/** The body, in a file of its own: s3rver itself would write straight into the object, half of which could be read. */
async function receive(content: Readable): Promise<{ temporary: string; size: number; md5: string }> {
  const temporary = path.join(folder, `.incoming-${randomBytes(8).toString('hex')}`);
  try {
    const [size, md5] = await store.putContent(temporary, content);
    await checkChecksum(temporary);
    return { temporary, size, md5 };
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** S3 refuses a body that is not what the checksum says; s3rver knows none. */
async function checkChecksum(file: string): Promise<void> {
  const expected = request.getStore()?.['x-amz-checksum-crc32'];
  if (expected === undefined || request.getStore()?.['x-amz-copy-source'] !== undefined) return;
  let crc = 0;
  for await (const chunk of createReadStream(file)) crc = crc32(chunk as Buffer, crc);
  const found = Buffer.alloc(4);
  found.writeUInt32BE(crc);
  if (found.toString('base64') !== expected)
    throw withStatus(new S3Error('BadDigest', 'The CRC32 you specified did not match the calculated checksum.'), 400);
}

async function publish(object: S3rver.StoredObject, received: { temporary: string; md5: string }): Promise<void> {
  await publishing.runExclusive(async () => {
    checkCondition(await store.existsObject(object.bucket, object.key));
    const target = store.getResourcePath(object.bucket, object.key, 'object');
    await mkdir(path.dirname(target), { recursive: true });
    await rename(received.temporary, target);
    await store.putMetadata(object.bucket, object.key, object.metadata, received.md5);
  });
}

store.putObject = async (object) => {
  const received = await receive(object.content as Readable);
  try {
    await publish(object, received);
  } finally {
    await rm(received.temporary, { force: true });
  }
  return { size: received.size, md5: received.md5 };
};

const uploadFolder = (bucket: string, id: string) => path.join(store.getResourcePath(bucket, undefined, 'uploads'), id);

async function checkUpload(bucket: string, id: string): Promise<string> {
  const upload = uploadFolder(bucket, id);
  try {
    await stat(path.join(upload, 'metadata'));
    return upload;
  } catch {
    throw withStatus(new S3Error('NoSuchUpload', 'The specified multipart upload does not exist.'), 404);
  }
}

store.putPart = async (bucket, uploadId, partNumber, content) => {
  await checkUpload(bucket, uploadId);
  const { temporary, size, md5 } = await receive(content);
  const upload = await checkUpload(bucket, uploadId);
  await rename(temporary, path.join(upload, partNumber));
  await writeFile(`${path.join(upload, partNumber)}.md5`, md5);
  return { size, md5 };
};

const complete = store.putObjectMultipart.bind(store);
store.putObjectMultipart = async (bucket, uploadId, parts) => {
  const upload = await checkUpload(bucket, uploadId);
  for (const [i, part] of parts.entries()) {
    const file = path.join(upload, String(part.number));
    const md5 = await readFile(`${file}.md5`, 'utf8').catch(() => undefined);
    if (md5 !== part.etag)
      throw withStatus(new S3Error('InvalidPart', 'One or more of the specified parts could not be found.'), 400);
    if (i < parts.length - 1 && (await stat(file)).size < MIN_PART_SIZE)
      throw withStatus(new S3Error('EntityTooSmall', 'Your proposed upload is smaller than the minimum size'), 400);
  }
  const key = await readFile(path.join(upload, 'key'), 'utf8');
  checkCondition(await store.existsObject(bucket, key));
  return complete(bucket, uploadId, parts);
};

const getObject = store.getObject.bind(store);
store.getObject = async (bucket, key, options) => {
  const object = await getObject(bucket, key, options);
  if (object === null || options?.start === undefined) return object;
  // s3rver gives one byte of an empty object, which never comes.
  if (Number(object.metadata['content-length']) === 0) {
    object.content?.destroy();
    object.content = null;
  } else if (options.start === 0 && options.end === 0) {
    // It takes an end of 0 for none.
    object.content?.destroy();
    object.range = { start: 0, end: 0 };
    object.content = createReadStream(store.getResourcePath(bucket, key, 'object'), object.range);
  }
  return object;
};

/** s3rver lists in the order of its folders and gives the last key of a page as the next page's beginning, so that it loses keys; S3 lists in the byte order of the keys. */
store.listObjects = async (bucket, { prefix = '', startAfter = '', maxKeys = Infinity }) => {
  const bytes = (text: string) => Buffer.from(text);
  const keys = (await allKeys(bucket)).filter(
    (key) => key.startsWith(prefix) && Buffer.compare(bytes(key), bytes(startAfter)) > 0,
  );
  keys.sort((a, b) => Buffer.compare(bytes(a), bytes(b)));
  const objects: S3rver.StoredObject[] = [];
  for (const key of keys.slice(0, maxKeys)) {
    try {
      objects.push(new S3Object(bucket, listedAs(key), null, await store.getMetadata(bucket, key)));
    } catch {
      // Deleted since.
    }
  }
  return { objects, commonPrefixes: [], isTruncated: keys.length > maxKeys };
};

/** s3rver escapes what XML cannot hold twice, and does not know the encoding that is there for it. */
const isEncoded = () => encodings.getStore() === 'url';

function listedAs(key: string): string {
  if (!isEncoded()) return key;
  return encodeURIComponent(key).replaceAll('%2F', '/').replaceAll('%20', '+');
}

/** What is repeated of the request is encoded too. */
function encoded(xml: string, query: S3rver.Context['query']): string {
  const repeat = (text: string, tag: string, value = '') =>
    text.replace(new RegExp(`<${tag}>[^<]*</${tag}>`), () => `<${tag}>${listedAs(value)}</${tag}>`);
  const named = xml.replace('<Name>', '<EncodingType>url</EncodingType><Name>');
  return repeat(repeat(named, 'Prefix', query['prefix']), 'StartAfter', query['start-after']);
}

async function allKeys(bucket: string): Promise<string[]> {
  const root = store.getBucketPath(bucket);
  const entries = await readdir(root, { recursive: true });
  return entries.filter((entry) => entry.endsWith(OBJECT_SUFFIX)).map((entry) => entry.slice(0, -OBJECT_SUFFIX.length));
}

const deleteObject = store.deleteObject.bind(store);
store.deleteObject = (bucket, key) => publishing.runExclusive(() => deleteObject(bucket, key));

/** What s3rver has no routes for. */
async function uploadRequests(context: S3rver.Context): Promise<boolean> {
  const [, bucket = '', ...rest] = decodeURIComponent(context.path).split('/');
  const key = rest.join('/');
  const { uploadId } = context.query;
  if (context.method === 'DELETE' && uploadId !== undefined) {
    await rm(await checkUpload(bucket, uploadId), { recursive: true });
    context.status = 204;
    return true;
  }
  if (context.method === 'GET' && uploadId !== undefined) {
    const parts = (await readdir(await checkUpload(bucket, uploadId))).filter((name) => /^\d+$/.test(name));
    answer(
      context,
      `<ListPartsResult>${parts.map((n) => `<Part><PartNumber>${n}</PartNumber></Part>`).join('')}`,
      'ListPartsResult',
    );
    return true;
  }
  if (context.method === 'GET' && key === '' && 'uploads' in context.query) {
    const uploads = await openUploads(bucket, context.query['prefix'] ?? '');
    answer(
      context,
      `<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>${uploads.join('')}`,
      'ListMultipartUploadsResult',
    );
    return true;
  }
  return false;
}

function answer(context: S3rver.Context, xml: string, root: string): void {
  context.status = 200;
  context.type = 'application/xml';
  context.body = `<?xml version="1.0" encoding="UTF-8"?>\n${xml}</${root}>`;
}

async function openUploads(bucket: string, prefix: string): Promise<string[]> {
  const parent = store.getResourcePath(bucket, undefined, 'uploads');
  const ids = await readdir(parent).catch(() => []);
  const uploads: string[] = [];
  for (const id of ids) {
    try {
      const key = await readFile(path.join(parent, id, 'key'), 'utf8');
      const { birthtime } = await stat(path.join(parent, id, 'metadata'));
      if (!key.startsWith(prefix)) continue;
      uploads.push(
        `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${birthtime.toISOString()}</Initiated></Upload>`,
      );
    } catch {
      // Completed or aborted since.
    }
  }
  return uploads;
}

server.middleware.unshift(async (context, next) => {
  await request.run(context.headers, async () => {
    if (await uploadRequests(context)) return;
    await encodings.run(context.query['encoding-type'], async () => {
      await next();
      if (isEncoded() && typeof context.body === 'string') context.body = encoded(context.body, context.query);
    });
  });
});

const { port } = await server.run();
process.stdout.write(`${port}\n`);
// The test that has started it is gone.
process.stdin.on('end', () => process.exit(0)).resume();
