// What the suite for range sources is given: a source, and a hand on the database behind it.

import type { KeyRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import type { RangeSource } from '../ports/range-source.js';

/** A set, or a clear of the keys from `begin` to `end`, exclusive. */
export type SuiteChange =
  { readonly key: Uint8Array; readonly value: Uint8Array } | { readonly begin: Uint8Array; readonly end: Uint8Array };

/** A source, and the means to make the database behind it do what the suite needs. */
export interface RangeSourceUnderTest {
  readonly source: RangeSource;
  /** The suite writes only keys of this range, which is empty when the case begins, and at least from 0x01 to 0xF0 wide. Default: the normal keys. */
  readonly range?: KeyRange;
  /** Commits the changes in one version, in order, and resolves with it once it is acknowledged. */
  commit(changes: readonly SuiteChange[]): Promise<Version>;
  /** Makes the region that holds this key other than it was: splits it there, merges or moves it. Leave it out where regions never change. */
  changeRegion?(key: Uint8Array): Promise<void>;
  /** Makes this version unreadable, as time would. Leave it out where every version stays readable for as long as it is held. */
  collectGarbage?(version: Version): Promise<void>;
  /** Called after each case, whatever came of it. */
  cleanup?(): void | Promise<void>;
}
