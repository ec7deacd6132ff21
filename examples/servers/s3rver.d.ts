// What the tests use of @20minutes/s3rver, which has no types of its own.

declare module '@20minutes/s3rver' {
  import type { IncomingMessage, ServerResponse } from 'node:http';
  import type { Readable } from 'node:stream';

  namespace S3rver {
    interface Options {
      address: string;
      port: number;
      silent: boolean;
      directory: string;
      vhostBuckets: boolean;
      allowMismatchedSignatures: boolean;
    }

    interface Context {
      method: string;
      path: string;
      query: Record<string, string | undefined>;
      headers: Record<string, string | undefined>;
      status: number;
      type: string;
      /** Koa takes much; a string by the time it is XML. */
      body: unknown;
      req: IncomingMessage;
      res: ServerResponse;
    }

    interface StoredObject {
      bucket: string;
      key: string;
      content: Readable | null;
      metadata: Record<string, string | number>;
      range?: { start: number; end: number };
    }

    interface Stored {
      size: number;
      md5: string;
    }

    interface Part {
      number: number;
      etag: string;
    }

    interface ListOptions {
      prefix?: string;
      startAfter?: string;
      delimiter?: string;
      maxKeys?: number;
    }

    interface Listed {
      objects: StoredObject[];
      commonPrefixes: string[];
      isTruncated: boolean;
    }

    interface Store {
      getResourcePath(bucket: string, key: string | undefined, resource: string): string;
      getBucketPath(bucket: string): string;
      getMetadata(bucket: string, key: string): Promise<Record<string, string | number>>;
      existsObject(bucket: string, key: string): Promise<boolean>;
      putMetadata(bucket: string, key: string, metadata: object, md5?: string): Promise<void>;
      putContent(path: string, content: Readable): Promise<[size: number, md5: string]>;
      getObject(bucket: string, key: string, options?: { start?: number; end?: number }): Promise<StoredObject | null>;
      putObject(object: StoredObject): Promise<Stored>;
      putPart(bucket: string, uploadId: string, partNumber: string, content: Readable): Promise<Stored>;
      putObjectMultipart(bucket: string, uploadId: string, parts: Part[]): Promise<Stored>;
      deleteObject(bucket: string, key: string): Promise<void>;
      listObjects(bucket: string, options: ListOptions): Promise<Listed>;
    }
  }

  class S3rver {
    readonly store: S3rver.Store;
    /** Koa's. */
    readonly middleware: ((context: S3rver.Context, next: () => Promise<void>) => Promise<void>)[];
    constructor(options: S3rver.Options);
    run(): Promise<{ address: string; port: number }>;
    close(): Promise<void>;
  }

  export = S3rver;
}

declare module '@20minutes/s3rver/lib/models/error.js' {
  class S3Error extends Error {
    constructor(code: string, message: string);
    status: number;
  }
  export = S3Error;
}

declare module '@20minutes/s3rver/lib/models/object.js' {
  import type { Readable } from 'node:stream';
  class S3Object {
    constructor(bucket: string, key: string, content: Readable | null, metadata: Record<string, string | number>);
    bucket: string;
    key: string;
    content: Readable | null;
    metadata: Record<string, string | number>;
    range?: { start: number; end: number };
  }
  export = S3Object;
}
