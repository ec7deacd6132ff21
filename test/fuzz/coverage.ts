// How much of src/ the inputs so far have reached: V8 counts blocks, the inspector of this very process tells. Needs no native code and no instrumented build.

import { Session } from 'node:inspector';

interface CoverageReport {
  readonly result: readonly {
    readonly scriptId: string;
    readonly url: string;
    readonly functions: readonly {
      readonly ranges: readonly { readonly startOffset: number; readonly endOffset: number; readonly count: number }[];
    }[];
  }[];
}

/** By script: a byte for each character of it, 1 where it ran. V8 leaves out a block that ran as often as the one around it, so blocks themselves cannot be counted. */
type Reached = ReadonlyMap<string, Uint8Array>;

/** The library's own files; not its simulator, whose readers and random numbers the targets use. */
export function isLibrary(url: string): boolean {
  return /\/src\/[^?]*\.[tj]s/.test(url) && !url.includes('/node_modules/') && !url.includes('/src/testing/');
}

/** Each has its own account of what is known; the counters are the process's, so only one may be in use at a time. */
export class Coverage {
  readonly #isOurs: (url: string) => boolean;
  readonly #known = new Map<string, Uint8Array>();
  #characters = 0;

  /** `isOurs`: of a script's URL: whether what it reaches counts. */
  constructor(isOurs: (url: string) => boolean = isLibrary) {
    this.#isOurs = isOurs;
    session ??= openSession();
  }

  /** Characters of source that any kept input has reached. */
  get characters(): number {
    return this.#characters;
  }

  /** Forgets what ran since the last look: it was no input. */
  skip(): void {
    ask('Profiler.takePreciseCoverage');
  }

  /** What ran since the last look; undefined: nothing that is not known. */
  look(): Reached | undefined {
    const { result } = ask('Profiler.takePreciseCoverage') as CoverageReport;
    const reached = new Map<string, Uint8Array>();
    let isNew = false;
    for (const { scriptId, url, functions } of result) {
      if (!this.#isOurs(url)) continue;
      let length = 0;
      for (const { ranges } of functions) for (const { endOffset } of ranges) length = Math.max(length, endOffset);
      const ran = new Uint8Array(length);
      // What lies within comes after what lies around it.
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) ran.fill(count > 0 ? 1 : 0, startOffset, endOffset);
      }
      reached.set(scriptId, ran);
      isNew ||= hasMore(ran, this.#known.get(scriptId));
    }
    return isNew ? reached : undefined;
  }

  keep(reached: Reached): void {
    for (const [scriptId, ran] of reached) {
      let known = this.#known.get(scriptId) ?? new Uint8Array(0);
      if (known.length < ran.length) {
        const longer = new Uint8Array(ran.length);
        longer.set(known);
        known = longer;
        this.#known.set(scriptId, known);
      }
      for (let i = 0; i < ran.length; i++) {
        if (ran[i] === 0 || known[i] !== 0) continue;
        known[i] = 1;
        this.#characters++;
      }
    }
  }
}

let session: Session | undefined;

function openSession(): Session {
  session = new Session();
  session.connect();
  ask('Profiler.enable');
  ask('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  return session;
}

/** The session is this thread's own: it answers before it returns. */
function ask(method: string, params: object = {}): unknown {
  let answer: { readonly failure: Error | null; readonly result?: unknown } | undefined;
  session?.post(method, params, (failure, result?: object) => (answer = { failure, result }));
  if (answer === undefined) throw new Error(`the inspector did not answer ${method} at once`);
  if (answer.failure !== null) throw answer.failure;
  return answer.result;
}

function hasMore(ran: Uint8Array, known: Uint8Array | undefined): boolean {
  for (let i = 0; i < ran.length; i++) if (ran[i] !== 0 && (known?.[i] ?? 0) === 0) return true;
  return false;
}
