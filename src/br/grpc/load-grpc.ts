// The one place where the package for gRPC is loaded. Nothing of the library needs it but a client of TiKV and a server that stands in for TiKV.

import type * as grpc from '@grpc/grpc-js';
import { importPackage } from '../../core/import-package.js';

export type Grpc = typeof grpc;

/** PACKAGE_MISSING if the package is not installed. */
export function loadGrpc(): Promise<Grpc> {
  return importPackage('@grpc/grpc-js', 'backups over gRPC need', () => import('@grpc/grpc-js'));
}
