// Versions, tags and epochs: the coordinates of everything that Tidemark stores.

/** A 64-bit signed number that only grows; every commit of the database has one. Gaps between versions are normal. */
export type Version = bigint;

/** The largest version that the container format can hold (int64). */
export const MAX_VERSION: Version = (1n << 63n) - 1n;

/** A generation of the log system. A recovery ends one and starts the next, with a larger number. */
export type LogEpoch = number;

/** One partition of the log. Log router tags, the ones a backup worker drains, are `-2:0` to `-2:(totalTags - 1)`. */
export interface Tag {
  readonly locality: number;
  readonly id: number;
}

/** Locality of the tags that backup workers drain (FoundationDB: `tagLocalityLogRouter`). */
export const LOG_ROUTER_LOCALITY = -2;

/** The log router tag with this id, 0 <= id < totalTags. */
export function logRouterTag(id: number): Tag {
  return { locality: LOG_ROUTER_LOCALITY, id };
}

/** `-2:3`, the form in which logs and error messages name a tag. */
export function formatTag(tag: Tag): string {
  return `${tag.locality}:${tag.id}`;
}

export function minVersion(a: Version, b: Version): Version {
  return a < b ? a : b;
}

export function maxVersion(a: Version, b: Version): Version {
  return a > b ? a : b;
}
