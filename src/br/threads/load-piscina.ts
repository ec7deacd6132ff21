// The thread pool, from the optional package piscina.

import { importPackage } from '../../core/import-package.js';

/** PACKAGE_MISSING if the package is not installed. */
export function loadPiscina() {
  const needs = 'compression on worker threads needs';
  return importPackage('piscina', needs, () => import('piscina'), 'numThreads: 0 does without');
}
