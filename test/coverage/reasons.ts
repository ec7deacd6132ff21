// The list of places that no test runs, each with the reason (uncovered.json), compared with what a run did not cover.

import type { UncoveredPlace } from './uncovered.js';

/** Why no test runs these places. */
export interface Reason {
  readonly reason: string;
  readonly places: readonly NamedPlace[];
}

/** Names a place by its text, as `UncoveredPlace` does. */
export interface NamedPlace {
  readonly file: string;
  readonly code: string;
  readonly part?: string | undefined;
  /** How many places of the file have this very text and are meant. Default 1: another one needs a reason of its own. */
  readonly times?: number;
}

export interface Comparison {
  readonly explained: readonly { readonly place: UncoveredPlace; readonly reason: string }[];
  readonly unexplained: readonly UncoveredPlace[];
  /** The text is there and ran this time: by chance, in a random test, or a test covers it now and the entry can go. */
  readonly covered: readonly NamedPlace[];
  /** The text is not in the file any more, or the file is gone. */
  readonly gone: readonly NamedPlace[];
}

interface Expected {
  readonly entry: NamedPlace;
  readonly reason: string;
  left: number;
}

/** `sources`: the text of every file that the run looked at. Entries of other files are left alone. */
export function compareReasons(
  reasons: readonly Reason[],
  places: readonly UncoveredPlace[],
  sources: ReadonlyMap<string, string>,
  isMeant: (file: string) => boolean = () => true,
): Comparison {
  const expected = new Map(
    reasons.flatMap(({ reason, places: entries }) =>
      entries.map((entry) => [nameOf(entry), { entry, reason, left: entry.times ?? 1 }] as [string, Expected]),
    ),
  );
  const explained: { place: UncoveredPlace; reason: string }[] = [];
  const unexplained: UncoveredPlace[] = [];
  for (const place of places) {
    const known = expected.get(nameOf(place));
    if (known === undefined || known.left === 0) {
      unexplained.push(place);
      continue;
    }
    known.left--;
    explained.push({ place, reason: known.reason });
  }
  const unused = [...expected.values()].filter(({ entry, left }) => left > 0 && isMeant(entry.file));
  const isThere = ({ file, code }: NamedPlace) =>
    sources
      .get(file)
      ?.split('\n')
      .some((line) => line.trim() === code) ?? false;
  return {
    explained,
    unexplained,
    covered: unused.map(({ entry }) => entry).filter(isThere),
    gone: unused.map(({ entry }) => entry).filter((entry) => !isThere(entry)),
  };
}

/** What is wrong with the list itself, whatever a run says. */
export function checkReasons(reasons: readonly Reason[]): string[] {
  const seen = new Set<string>();
  return reasons.flatMap(({ reason, places }) => [
    ...(reason.trim().length < 10 ? [`"${reason}" is no reason`] : []),
    ...places.flatMap((entry) => {
      const name = nameOf(entry);
      const isTwice = seen.has(name);
      seen.add(name);
      const where = `${entry.file}: ${entry.code}`;
      if (isTwice) return [`${where}: is there twice; say \`times\` instead`];
      if (entry.times !== undefined && (!Number.isSafeInteger(entry.times) || entry.times < 2))
        return [`${where}: times must be a whole number from 2 on`];
      return [];
    }),
  ]);
}

function nameOf({ file, code, part }: Pick<NamedPlace, 'file' | 'code' | 'part'>): string {
  return JSON.stringify([file, code, part ?? null]);
}
