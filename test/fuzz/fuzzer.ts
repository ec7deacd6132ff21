// Runs a target on input after input. With coverage, inputs that reach code that none before has reached are kept, and later ones are made from them.

import { createHash } from 'node:crypto';
import { BackupError } from '../../src/core/errors.js';
import { SimRandom } from '../../src/testing/simulation/random.js';
import { collectGarbage } from '../collect-garbage.js';
import type { Coverage } from './coverage.js';
import { hugeJson, mutateJson, withHuge } from './mutate-json.js';
import { mutateBytes, randomBytes } from './mutate.js';
import type { FuzzTarget, Verdict } from './target.js';
import { WrongResult } from './target.js';

/** A case that takes longer has found something that grows too fast, even on a machine that is busy. */
const SLOWEST_CASE_MS = 30_000;
const MAX_CORPUS = 2000;
const MAX_MESSAGE = 2048;
const MINIMIZING_RUNS = 400;
const MEMORY_TRIES = 5;
/** Longest input that is swept, and how many of its bytes are. */
const SWEPT_BYTES = 64;
const SWEPT_PLACES = 16;

export interface Failure {
  readonly target: string;
  readonly input: Uint8Array;
  readonly message: string;
}

export interface FuzzStats {
  cases: number;
  accepted: number;
  /** By code; `none`: an answer that is no error. */
  readonly refused: Map<string, number>;
  corpus: number;
  /** Characters of the library's source that were reached. */
  reached: number;
  slowestMs: number;
  slowestBytes: number;
  /** Most heap and buffers that one case took, bytes: an average over the cases of a batch. */
  peakMemory: number;
}

export interface FuzzerOptions {
  readonly seed: number;
  readonly coverage?: Coverage | undefined;
  /** Told of each input before it runs, so that somebody else knows it when it never ends. */
  readonly before?: ((input: Uint8Array) => void) | undefined;
}

export class Fuzzer {
  readonly target: FuzzTarget;
  readonly failures: Failure[] = [];
  readonly stats: FuzzStats = {
    cases: 0,
    accepted: 0,
    refused: new Map(),
    corpus: 0,
    reached: 0,
    slowestMs: 0,
    slowestBytes: 0,
    peakMemory: 0,
  };
  readonly #random: SimRandom;
  readonly #coverage: Coverage | undefined;
  readonly #before: ((input: Uint8Array) => void) | undefined;
  readonly #corpus: Uint8Array[] = [];
  readonly #sweeps: { readonly input: Uint8Array; at: number }[] = [];
  readonly #seen = new Set<string>();
  #isSeeded = false;
  /** It has taken too much once: no need to show it again, which takes long. */
  #isGreedy = false;

  constructor(target: FuzzTarget, { seed, coverage, before }: FuzzerOptions) {
    this.target = target;
    this.#random = new SimRandom(seed);
    this.#coverage = coverage;
    this.#before = before;
  }

  /** `cases` more; fewer when there are several failures by then. */
  async run(cases: number): Promise<void> {
    if (!this.#isSeeded) await this.#seed();
    for (let left = cases; left > 0 && this.failures.length < 5; left -= this.target.batch) {
      const inputs = Array.from({ length: Math.min(left, this.target.batch) }, () => this.#next());
      await this.#batch(inputs);
    }
  }

  /** One input; what is wrong with it, if anything. */
  async try(input: Uint8Array): Promise<string | undefined> {
    const before = this.failures.length;
    await this.#case(input);
    return this.failures.length > before ? this.failures.pop()?.message : undefined;
  }

  async #seed(): Promise<void> {
    this.#isSeeded = true;
    const seeds = await this.target.seeds(this.#random);
    this.#corpus.push(...seeds);
    for (let i = 0; i < seeds.length; i += this.target.batch)
      await this.#batch(seeds.slice(i, i + this.target.batch), false);
    this.stats.corpus = this.#corpus.length;
  }

  #next(): Uint8Array {
    const random = this.#random;
    const { form, takesHuge, headerBytes = 0, repair, maxBytes } = this.target;
    if (this.#corpus.length === 0 || random.chance(0.02))
      return randomBytes(random, random.int(0, Math.min(maxBytes, 300)));
    const swept = random.chance(0.5) ? this.#sweep() : undefined;
    if (swept !== undefined) return swept;
    const base = this.#pick();
    const header = base.subarray(0, headerBytes);
    if (takesHuge === true && random.chance(1 / 4000)) return joined(header, this.#huge(base.subarray(headerBytes)));
    let input: Uint8Array | undefined;
    if (form === 'json' && random.chance(0.7)) {
      const text = mutateJson(Buffer.from(base.subarray(headerBytes)).toString('latin1'), random);
      if (text !== undefined) input = joined(header, Buffer.from(text, 'latin1'));
      if (input !== undefined && headerBytes > 0 && random.chance(0.05)) input[0] = random.next32();
    }
    input ??= mutateBytes(base, {
      random,
      maxBytes,
      dictionary: this.target.dictionary ?? [],
      other: () => this.#pick(),
    });
    return repair !== undefined && random.chance(0.7) ? repair(input) : input;
  }

  /** Every value of each of the first bytes, of short inputs that have reached something new: chance alone seldom finds the one value that leads on. */
  #sweep(): Uint8Array | undefined {
    const sweep = this.#sweeps.at(-1);
    if (sweep === undefined) return undefined;
    const { at, input } = sweep;
    const swept = input.slice();
    if (swept.length > 0) swept[at >> 8] = at & 0xff;
    sweep.at++;
    if (sweep.at >> 8 >= Math.min(input.length, SWEPT_PLACES)) this.#sweeps.pop();
    return swept;
  }

  #huge(base: Uint8Array): Uint8Array {
    const random = this.#random;
    if (this.target.form !== 'json') return new Uint8Array(1_000_000).fill(random.pick([0, 0x2f, 0x39, 0x61, 0xff]));
    const text = random.chance(0.3) ? hugeJson(random) : withHuge(Buffer.from(base).toString('latin1'), random);
    return Buffer.from(text, 'latin1');
  }

  /** The newest a little more often: what they have reached is the least explored. */
  #pick(): Uint8Array {
    const { length } = this.#corpus;
    const from = this.#random.chance(0.3) ? Math.max(0, length - 20) : 0;
    return this.#corpus[this.#random.int(from, length - 1)] as Uint8Array;
  }

  async #batch(inputs: readonly Uint8Array[], mayGrow = true): Promise<void> {
    this.#coverage?.skip();
    const memory = memoryInUse();
    for (const input of inputs) await this.#case(input);
    await this.#checkMemory(inputs, memoryInUse() - memory);
    const reached = this.#coverage?.look();
    if (reached === undefined) return;
    if (mayGrow) await this.#findNew(inputs);
    this.#coverage?.keep(reached);
    this.stats.reached = this.#coverage?.characters ?? 0;
    this.stats.corpus = this.#corpus.length;
  }

  /** Adds those to the corpus that reach something new, each by itself: by halves, because a look costs as much as thousands of cases. */
  async #findNew(inputs: readonly Uint8Array[]): Promise<void> {
    const coverage = this.#coverage as Coverage;
    if (inputs.length > 1) {
      coverage.skip();
      for (const input of inputs) await this.#quiet(input);
      if (coverage.look() === undefined) return;
      const middle = inputs.length >> 1;
      await this.#findNew(inputs.slice(0, middle));
      await this.#findNew(inputs.slice(middle));
      return;
    }
    const input = inputs[0] as Uint8Array;
    coverage.skip();
    await this.#quiet(input);
    const reached = coverage.look();
    if (reached === undefined) return;
    coverage.keep(reached);
    if (input.length > this.target.maxBytes) return;
    if (input.length <= SWEPT_BYTES && this.target.batch >= 64) this.#sweeps.push({ input: input.slice(), at: 0 });
    if (this.#corpus.length < MAX_CORPUS) this.#corpus.push(input.slice());
    else this.#corpus[this.#random.int(0, MAX_CORPUS - 1)] = input.slice();
  }

  async #quiet(input: Uint8Array): Promise<void> {
    try {
      await this.#run(input);
    } catch {
      // It has been judged already.
    }
  }

  #run(input: Uint8Array): Verdict | Promise<Verdict> {
    this.#before?.(input);
    return this.target.run(input);
  }

  async #case(input: Uint8Array): Promise<void> {
    const { stats } = this;
    stats.cases++;
    const begun = performance.now();
    let verdict: Verdict | undefined;
    let error: unknown;
    try {
      const answer = this.#run(input);
      verdict = typeof answer === 'string' ? answer : await answer;
    } catch (thrown) {
      error = thrown;
    }
    const ms = performance.now() - begun;
    const problem = verdict === undefined ? this.#judge(error) : undefined;
    if (verdict === 'accepted') stats.accepted++;
    else if (verdict === 'refused') count(stats.refused, 'none');
    else if (problem === undefined) count(stats.refused, (error as BackupError).code);
    else await this.#fail(input, problem, error);
    if (ms > SLOWEST_CASE_MS) await this.#fail(input, `took ${Math.round(ms)} ms`, undefined);
    if (ms <= stats.slowestMs) return;
    stats.slowestMs = ms;
    stats.slowestBytes = input.length;
  }

  /** undefined: a refusal as it should be. */
  #judge(error: unknown): string | undefined {
    if (!BackupError.is(error)) return error instanceof Error ? (error.stack ?? error.message) : String(error);
    const { codes, maxMessage = MAX_MESSAGE } = this.target;
    if (!codes.includes(error.code))
      return `code ${error.code} is not one of ${codes.join(', ')}: ${error.stack ?? ''}`;
    if (error.message.length > maxMessage)
      return `a message of ${error.message.length} characters: ${error.message.slice(0, 200)}`;
    return undefined;
  }

  async #fail(input: Uint8Array, message: string, error: unknown): Promise<void> {
    const where = signature(message);
    if (this.#seen.has(where)) return;
    this.#seen.add(where);
    const small = error === undefined ? input : await this.#minimize(input, where);
    this.failures.push({ target: this.target.name, input: small.slice(), message: message.slice(0, 4000) });
  }

  /** Leaves out what is not needed to fail in the same place. */
  async #minimize(input: Uint8Array, where: string): Promise<Uint8Array> {
    let best = input;
    let runs = 0;
    for (let size = input.length >> 1; size >= 1; size >>= 1) {
      for (let at = 0; at + size <= best.length && runs < MINIMIZING_RUNS;) {
        const shorter = joined(best.subarray(0, at), best.subarray(at + size));
        runs++;
        if (await this.#failsAt(shorter, where)) best = shorter;
        else at += size;
      }
    }
    return best;
  }

  async #failsAt(input: Uint8Array, where: string): Promise<boolean> {
    try {
      await this.#run(input);
      return false;
    } catch (error) {
      const problem = this.#judge(error);
      return problem !== undefined && signature(problem) === where;
    }
  }

  /** The least of several tries: the engine takes memory for itself now and then, a greedy decoder every time. */
  async #memoryOf(input: Uint8Array): Promise<number> {
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < MEMORY_TRIES; i++) {
      collectGarbage();
      const before = memoryInUse();
      await this.#quiet(input);
      least = Math.min(least, memoryInUse() - before);
    }
    return least;
  }

  async #checkMemory(inputs: readonly Uint8Array[], grown: number): Promise<void> {
    const { fixed, perByte } = this.target.memory;
    const bytes = inputs.reduce((sum, { length }) => sum + length, 0);
    this.stats.peakMemory = Math.max(this.stats.peakMemory, Math.round(grown / inputs.length));
    if (this.#isGreedy || grown <= inputs.length * fixed + bytes * perByte) return;
    // What a batch takes may be garbage of the cases before it: each by itself tells.
    for (const input of inputs) {
      const taken = await this.#memoryOf(input);
      if (taken <= fixed + input.length * perByte) continue;
      this.#isGreedy = true;
      return this.#fail(input, `took ${taken} bytes for an input of ${input.length}`, undefined);
    }
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** Two failures of one cause have the same: numbers and values left out, and the topmost place in the library or the target. */
function signature(message: string): string {
  const [first = '', ...stack] = message.split('\n');
  const place = stack.find((line) => /\/(src|test)\//.test(line)) ?? '';
  return createHash('sha256')
    .update(`${first.slice(0, 40).replace(/[0-9]+/g, '#')}\n${place.replace(/:\d+\)?$/, '')}`)
    .digest('hex')
    .slice(0, 16);
}

function memoryInUse(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

export { WrongResult };
