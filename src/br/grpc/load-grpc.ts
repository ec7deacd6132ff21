// The one place where the package for gRPC is loaded. Nothing of the library needs it but a client of TiKV and a server that stands in for TiKV.

import type * as grpc from '@grpc/grpc-js';
import { BackupError } from '../../core/errors.js';

const PACKAGE = '@grpc/grpc-js';

export type Grpc = typeof grpc;

/** PACKAGE_MISSING if the package is not installed. */
export async function loadGrpc(): Promise<Grpc> {
  try {
    return await import('@grpc/grpc-js');
  } catch (cause) {
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND';
    if (!missing) throw cause;
    throw new BackupError('PACKAGE_MISSING', `backups over gRPC need the package ${PACKAGE}: npm install ${PACKAGE}`, {
      cause,
    });
  }
}
