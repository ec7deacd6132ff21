// Which tag a key belongs to. The function must never change: what one release wrote into the file of a tag, the next would look for in another, and nobody would notice.

/** 0 <= tag < totalTags. FNV-1a over the key's bytes, mixed so that keys that differ in their last byte only spread as well. */
export function tagOfKey(key: Uint8Array, totalTags: number): number {
  if (totalTags === 1) return 0;
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ (key[i] as number), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash ^= hash >>> 13;
  return (hash >>> 0) % totalTags;
}
