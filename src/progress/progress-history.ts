// The history of a FileProgressStore on the disk: how it is read, how a commit gets into it, and why it can never fork.
//
// Layout
//
//   genesis                        names the first generation's folder; made once, by link()
//   log-<generation>-<uid>/state   everything up to the commit at which the generation begins
//   log-<generation>-<uid>/commit-<number>   one commit each, numbers without a gap
//   next-<generation>-<uid>/       a generation that is being prepared; renamed to log-… once a commit has named it
//   old-<generation>-<uid>/        a generation that is being removed
//
// Commit n is published by link() of a whole, synced file to `commit-<n>` in the newest generation's folder: only one process can have that name. The last commit
// of a generation (the COMMITS-th) names the folder of the next one, whose `state` was written and synced before.
//
// Why no process, however long it was stopped (SIGSTOP) and wherever, can lose a commit or make a second history:
//
// 1. While a folder is called log-…, no file in it is ever removed or replaced. So a number in it is used once.
// 2. A folder's name is unique (uid), it is made once, and it leaves the name log-… once, by rename. What was removed never comes back, so a late
//    link() into it fails, instead of finding its number free again.
// 3. A folder becomes log-… only after the last commit of the generation before has named it; of the rivals for that commit, link() chose one. So there is one
//    folder for each generation, and one sequence of commits through all of them.
// 4. A link() may, at the worst, land in a folder in the very moment of its rename, and a reader may look into it just then. Therefore what was read or linked
//    counts only once the folder was seen under its name log-… *afterwards*: by 1 and 2 it was whole all the time until then.
// 5. Whether a commit took place is never concluded from link()'s answer, but looked up in the history: by its own record, or, when that has been cleaned away, by
//    the list of every client's last commit that is kept with the state.
// 6. Nothing is judged by time, and nobody waits for anybody: every step that a stopped process has left undone, any other can do.

import { link, lstat, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { isMissing, makeFolders, syncFolder, systemErrorCode } from '../core/file-system.js';
import type { CommitRecord, LastCommits } from './progress-record.js';
import {
  decodeCommit,
  decodeGenesis,
  decodeState,
  encodeCommit,
  encodeGenesis,
  encodeState,
} from './progress-record.js';
import { ProgressState } from './progress-state.js';
import type { ProgressWrites } from './progress-state.js';

/** Clients whose last commit is remembered; one that is unsure after so many others have committed runs its body again. */
const MAX_CLIENTS = 256;
/** How often the newest generation is looked for before we give up: each time, others must have gone on by a whole generation. */
const MAX_SEARCHES = 100;

interface Generation {
  readonly number: number;
  /** `log-<number>-<uid>` */
  readonly name: string;
  /** Number of the commit at which it begins. */
  readonly base: number;
}

export interface ProgressHistoryOptions {
  readonly directory: string;
  readonly random: Random;
  /** Commits in a generation. */
  readonly generationCommits: number;
}

/** Not to be used by two callers at once. */
export class ProgressHistory {
  readonly #root: string;
  readonly #random: Random;
  readonly #generationCommits: number;
  readonly #client: string;
  #attempt = 0;
  /** undefined: to be looked for. */
  #generation: Generation | undefined;
  #number = 0;
  /** The commit up to which we know them to be durable. */
  #durable = -1;
  /** The highest number that was seen when the folder was opened: one that is missing below it was lost by the disk. */
  #listed = 0;
  #state = ProgressState.empty;
  #lastCommits: LastCommits = new Map();

  constructor(options: ProgressHistoryOptions) {
    this.#root = options.directory;
    this.#random = options.random;
    this.#generationCommits = options.generationCommits;
    this.#client = options.random.uid();
  }

  /** As of the last `refresh`. */
  get state(): ProgressState {
    return this.#state;
  }

  /** The folder in which the next commit will appear; undefined: not known. */
  get folder(): string | undefined {
    return this.#generation === undefined ? undefined : join(this.#root, this.#generation.name);
  }

  /** Reads all commits that there are at some moment during the call, and makes sure that what it has read is durable. */
  async refresh(): Promise<void> {
    for (let search = 0; search < MAX_SEARCHES; search++) {
      if (this.#generation === undefined && !(await this.#findGeneration())) continue;
      if (await this.#readCommits()) return;
      this.#generation = undefined;
    }
    if (newestOf(await this.#list()) === undefined) throw this.#corrupt(GENESIS, 'no generation is left');
    throw new BackupError(
      'STORE_UNAVAILABLE',
      `${this.#root}: the newest generation changed faster than it could be read`,
      {
        retryable: true,
      },
    );
  }

  /**
   * Tries to add a commit right after the last one read. True: it is in the history, durably. False: it is not, and never will be (or more than
   * MAX_CLIENTS others have committed since, and nobody can tell). After an error it may be either. Leaves the state as `refresh` does.
   */
  async tryCommit(writes: ProgressWrites): Promise<boolean> {
    const generation = this.#generation;
    if (generation === undefined) return false;
    const attempt = ++this.#attempt;
    const number = this.#number + 1;
    const isLast = number - generation.base >= this.#generationCommits;
    const next = isLast ? `${generation.number + 1}-${this.#random.uid()}` : undefined;
    const record = { number, client: this.#client, attempt, writes, next };
    try {
      if (next !== undefined) await this.#prepareNext(next, record);
      await this.#link(join(this.#root, generation.name), record);
    } catch (error) {
      // The number is taken, or the whole generation is gone: what that means for our commit, the history will say.
      if (systemErrorCode(error) !== 'EEXIST' && !isMissing(error)) throw error;
    }
    await this.refresh();
    const committed = this.#lastCommits.get(this.#client) === attempt;
    if (next !== undefined) await (committed ? this.#clean() : this.#remove(`next-${next}`));
    return committed;
  }

  /** Publishes the record, whole and synced, under its number, unless that is taken. */
  async #link(folder: string, record: CommitRecord): Promise<void> {
    const temporary = join(folder, `${this.#random.uid()}.temp`);
    try {
      await writeSynced(temporary, encodeCommit(record));
      await link(temporary, join(folder, `commit-${record.number}`));
    } finally {
      // One that a crash leaves here goes with the generation.
      await rm(temporary, { force: true });
    }
  }

  /** Makes the next generation's folder, durably, with the state that the commit will lead to. Nobody looks at it until the commit names it. */
  async #prepareNext(next: string, record: CommitRecord): Promise<void> {
    const folder = join(this.#root, `next-${next}`);
    await mkdir(folder);
    const state = this.#state.with(record.writes);
    const lastCommits = withCommit(this.#lastCommits, record);
    await writeSynced(join(folder, STATE), encodeState({ number: record.number, state, lastCommits }));
    await syncFolder(folder);
    await syncFolder(this.#root);
  }

  /** Reads on from the last commit, into newer generations too. False: the folder is gone, and what is in it now proves nothing. */
  async #readCommits(): Promise<boolean> {
    for (let generation = this.#generation; generation !== undefined; generation = this.#generation) {
      const file = join(generation.name, `commit-${this.#number + 1}`);
      const text = await this.#read(file);
      if (!(await this.#exists(generation.name))) return false;
      if (text === undefined) {
        if (this.#number < this.#listed) throw this.#corrupt(file, 'it is missing');
        await this.#makeDurable(generation);
        return true;
      }
      const record = decodeCommit(text, join(this.#root, file));
      if (record.number !== this.#number + 1) throw this.#corrupt(file, `it is commit ${record.number}`);
      if (record.next !== undefined) await this.#enter(generation, record.next, record.number);
      this.#number = record.number;
      this.#state = this.#state.with(record.writes);
      this.#lastCommits = withCommit(this.#lastCommits, record);
    }
    return false;
  }

  /**
   * A commit is published before its name is synced, so it may have been read before it is durable: nobody may act upon it until it is. If the folder is gone, a
   * newer generation, durable before that, holds all that it held.
   */
  async #makeDurable(generation: Generation): Promise<void> {
    if (this.#number === this.#durable) return;
    await this.#sync(generation);
    this.#durable = this.#number;
  }

  async #sync(generation: Generation): Promise<void> {
    try {
      await syncFolder(join(this.#root, generation.name));
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  /** Goes on in the generation that a commit has named: durably, whoever has come how far with it. */
  async #enter(from: Generation | undefined, next: string, base: number): Promise<void> {
    if (from !== undefined) await this.#sync(from);
    try {
      await rename(join(this.#root, `next-${next}`), join(this.#root, `log-${next}`));
    } catch (error) {
      // Another process has done it.
      if (!isMissing(error)) throw error;
    }
    await syncFolder(this.#root);
    this.#generation = { number: generationNumber(next), name: `log-${next}`, base };
    this.#durable = base;
  }

  /** Finds the newest generation and reads its state; the first process of all makes one. False: look again. */
  async #findGeneration(): Promise<boolean> {
    const newest = newestOf(await this.#list());
    if (newest === undefined) {
      await this.#enterFirst();
      return false;
    }
    const text = await this.#read(join(newest, STATE));
    if (text === undefined) {
      if (await this.#exists(newest)) throw this.#corrupt(join(newest, STATE), 'it is missing');
      return false;
    }
    await syncFolder(this.#root);
    this.#listed = highestCommit(await this.#list(newest));
    this.#durable = -1;
    const { number, state, lastCommits } = decodeState(text, join(this.#root, newest, STATE));
    this.#number = number;
    this.#state = state;
    this.#lastCommits = lastCommits;
    this.#generation = { number: generationNumber(newest.slice('log-'.length)), name: newest, base: number };
    return true;
  }

  async #enterFirst(): Promise<void> {
    const text = await this.#read(GENESIS);
    if (text !== undefined) {
      await this.#enter(undefined, decodeGenesis(text, join(this.#root, GENESIS)).next, 0);
      this.#generation = undefined; // It may be long gone: what matters is the newest.
      return;
    }
    if (this.#number > 0) {
      throw new BackupError('STORE_UNAVAILABLE', `the progress store ${this.#root} has disappeared`, {
        retryable: true,
      });
    }
    await makeFolders(this.#root, true);
    const next = `1-${this.#random.uid()}`;
    try {
      await this.#prepareFirst(next);
    } catch (error) {
      // Another process was first, or so much so that its cleaner has taken our folder away already.
      if (systemErrorCode(error) !== 'EEXIST' && !isMissing(error)) throw error;
      await this.#remove(`next-${next}`);
    }
  }

  /** The first generation is named by a file of its own, which only one process can make. */
  async #prepareFirst(next: string): Promise<void> {
    const folder = join(this.#root, `next-${next}`);
    await mkdir(folder);
    await writeSynced(
      join(folder, STATE),
      encodeState({ number: 0, state: ProgressState.empty, lastCommits: new Map() }),
    );
    await writeSynced(join(folder, GENESIS), encodeGenesis({ next }));
    await syncFolder(folder);
    await syncFolder(this.#root);
    await link(join(folder, GENESIS), join(this.#root, GENESIS));
  }

  /**
   * Removes the generations before this one, and what was prepared for it in vain. A folder leaves the name log-… durably before anything in it is removed: neither
   * a late process nor a power failure may find it half empty under that name.
   */
  async #clean(): Promise<void> {
    const current = this.#generation;
    if (current === undefined) return;
    try {
      const doomed: string[] = [];
      for (const name of await this.#list()) {
        const [, kind, number] = FOLDER_NAME.exec(name) ?? [];
        if (kind === undefined) continue;
        if (kind === 'log' && Number(number) < current.number) {
          const old = name.replace('log-', 'old-');
          await rename(join(this.#root, name), join(this.#root, old));
          doomed.push(old);
        } else if (kind === 'old' || (kind === 'next' && Number(number) <= current.number)) {
          doomed.push(name);
        }
      }
      await syncFolder(this.#root);
      for (const name of doomed) await this.#remove(name);
    } catch (error) {
      // Another process cleans at the same time, or it cannot be done now: the next generation's cleaner finds what is left.
      if (systemErrorCode(error) === undefined) throw error;
    }
  }

  async #remove(folder: string): Promise<void> {
    try {
      await rm(join(this.#root, folder), { recursive: true, force: true });
    } catch (error) {
      // As above: it is only litter.
      if (systemErrorCode(error) === undefined) throw error;
    }
  }

  /** undefined: there is no such file. */
  async #read(file: string): Promise<string | undefined> {
    try {
      return await readFile(join(this.#root, file), 'utf8');
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async #exists(folder: string): Promise<boolean> {
    try {
      return (await lstat(join(this.#root, folder))).isDirectory();
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  async #list(folder = ''): Promise<string[]> {
    try {
      return await readdir(join(this.#root, folder));
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  #corrupt(file: string, reason: string): BackupError {
    const path = join(this.#root, file);
    return new BackupError('STORE_CORRUPT', `${path} is damaged: ${reason}`, { file: path });
  }
}

const STATE = 'state';
const GENESIS = 'genesis';
const FOLDER_NAME = /^(log|next|old)-(\d+)-[0-9a-f]+$/;

/** The folder of the newest generation among `names`. */
function newestOf(names: readonly string[]): string | undefined {
  let newest: string | undefined;
  let newestNumber = -1;
  for (const name of names) {
    const [, kind, number] = FOLDER_NAME.exec(name) ?? [];
    if (kind !== 'log' || Number(number) <= newestNumber) continue;
    newest = name;
    newestNumber = Number(number);
  }
  return newest;
}

function highestCommit(names: readonly string[]): number {
  let highest = 0;
  for (const name of names) {
    const number = /^commit-(\d+)$/.exec(name)?.[1];
    if (number !== undefined) highest = Math.max(highest, Number(number));
  }
  return highest;
}

/** The number in `<number>-<uid>`. */
function generationNumber(next: string): number {
  return Number.parseInt(next, 10);
}

/** The client's entry moves to the end; the one whose last commit is the longest ago is forgotten when there are too many. */
function withCommit(lastCommits: LastCommits, { client, attempt }: CommitRecord): LastCommits {
  const after = new Map(lastCommits);
  after.delete(client);
  after.set(client, attempt);
  for (const oldest of after.keys()) {
    if (after.size <= MAX_CLIENTS) break;
    after.delete(oldest);
  }
  return after;
}

async function writeSynced(path: string, text: string): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
