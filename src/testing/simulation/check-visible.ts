// Nothing is ever half-visible: a file parses completely, with the library's readers too, from the moment at which it is seen, and keeps its bytes from then on. Few may be written again.

import { equalBytes } from '../../core/bytes.js';
import { decodeLogFile } from '../../format/fdb/log-file-decoder.js';
import { parseFileSums, parseSumsFileName } from '../../format/fdb/file-sums.js';
import {
  JOB_MARKER_NAME,
  PROPERTY,
  parseEncryptionMetadata,
  parseJobMarker,
  parseNumberProperty,
} from '../../format/fdb/properties.js';
import { parseSnapshotManifest } from '../../format/fdb/snapshot-manifest.js';
import { parseSnapshotBegin, parseSnapshotPartName } from '../../format/fdb/snapshot-part.js';
import { parseSnapshotSums, parseSnapshotSumsName } from '../../format/fdb/snapshot-sums.js';
import { parseVersionTimeName } from '../../format/fdb/version-times.js';
import type { SimContainers } from './sim-container.js';
import type { SimVerdict } from './verdict.js';
import type { SimHits } from './hits.js';
import { parseLogName } from './read-log-file.js';
import { parseRangeName, parseSnapshotName, readManifest, readRangeFile } from './read-range-file.js';

/** Whole and readable, or it throws. */
type Read = (bytes: Uint8Array, name: string) => unknown;

interface KindOfFile {
  readonly kind: string;
  readonly read: Read;
  /** Its bytes may change: these say how far something has come. They never go back. */
  readonly isMark?: true;
}

const MARKS: ReadonlySet<string> = new Set([
  PROPERTY.unreliableEndVersion,
  PROPERTY.expiredEndVersion,
  PROPERTY.logBeginVersion,
  PROPERTY.logEndVersion,
]);

export interface VisibleCheckParts {
  readonly containers: SimContainers;
  readonly verdict: SimVerdict;
  readonly hits: SimHits;
}

export function checkVisible({ containers, verdict, hits }: VisibleCheckParts): void {
  /** What each file had when it was last written. A file that has gone may come again, as it was. */
  const seen = new Map<string, Uint8Array>();
  containers.onFile(({ url, name, bytes }) => {
    const file = kindOf(name);
    if (file === undefined) {
      verdict.fail('every file has a known name', `${url} ${name}`);
      return;
    }
    hits.add(`container: ${file.kind}`);
    try {
      file.read(bytes, name);
    } catch (error) {
      verdict.fail('no file is half-visible', `${url} ${name} of ${bytes.length} bytes: ${String(error)}`);
      return;
    }
    const before = seen.get(`${url} ${name}`);
    seen.set(`${url} ${name}`, bytes);
    if (before === undefined || equalBytes(before, bytes)) return;
    if (file.isMark !== true) verdict.fail('a file keeps its bytes', `${url} ${name} is written again with others`);
    else if (parseNumberProperty(before, name) > parseNumberProperty(bytes, name))
      verdict.fail('a mark never goes back', `${url} ${name} goes back to ${Buffer.from(bytes).toString('latin1')}`);
  });
}

function kindOf(name: string): KindOfFile | undefined {
  if (MARKS.has(name)) return { kind: 'mark', read: parseNumberProperty, isMark: true };
  if (name === PROPERTY.mutationLogType) return { kind: 'kind of log', read: parseNumberProperty };
  if (name === PROPERTY.encryptionMetadata) return { kind: 'encryption', read: parseEncryptionMetadata };
  if (name === JOB_MARKER_NAME) return { kind: 'job marker', read: parseJobMarker };
  if (parseVersionTimeName(name) !== undefined) return { kind: 'version time', read: expectEmpty };
  if (parseSumsFileName(name) !== undefined) return { kind: 'checksums', read: parseFileSums };
  if (parseSnapshotSumsName(name) !== undefined) return { kind: 'sidecar', read: parseSnapshotSums };
  const part = parseSnapshotPartName(name);
  if (part !== undefined)
    return part.uid === undefined
      ? { kind: 'begin of a snapshot', read: parseSnapshotBegin }
      : { kind: 'part of a snapshot', read: parseSnapshotSums };
  if (parseSnapshotName(name) !== undefined) return { kind: 'manifest', read: readManifestTwice };
  const range = parseRangeName(name);
  if (range !== undefined) return { kind: 'range file', read: (bytes) => readRangeFile(bytes, range.blockSize) };
  const log = parseLogName(name);
  if (log === undefined) return undefined;
  return { kind: 'log file', read: (bytes) => [...decodeLogFile(bytes, { ...log, name })].length };
}

function expectEmpty(bytes: Uint8Array): void {
  if (bytes.length > 0) throw new TypeError('it should be empty');
}

/** As the oracle reads it, and as the library does. */
function readManifestTwice(bytes: Uint8Array, name: string): void {
  readManifest(bytes);
  parseSnapshotManifest(bytes, name);
}
