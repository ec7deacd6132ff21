// The region that a host name says, for signatures.

/** After these, as in `s3.eu-west-1.amazonaws.com`, comes the region; `oss-cn-beijing` is one itself. As FoundationDB's client guesses it. */
const SERVICES = ['s3', 'cos', 'obs'];
/** Parts that may come between. */
const VARIANTS = ['dualstack', 'fips'];

/** Undefined: the name does not say. */
export function guessRegion(host: string): string | undefined {
  const parts = host.toLowerCase().split('.');
  for (const [i, part] of parts.entries()) {
    if (part.startsWith('oss-')) return part;
    const old = /^s3-([a-z]{2}-[a-z-]+-\d)$/.exec(part)?.[1];
    if (old !== undefined) return old;
    if (!SERVICES.includes(part)) continue;
    const region = parts.slice(i + 1).find((next) => !VARIANTS.includes(next));
    // `s3.amazonaws.com`, and `s3.example.com` of one's own.
    return region !== undefined && /\d/.test(region) ? region : undefined;
  }
  return undefined;
}
