// A backup container of a simulated cluster: writes fail before, while or after they take effect, are slow, hang and then fail. What is not finished is seen by nobody.

import { BackupError } from '../../core/errors.js';
import type { BackupContainer, BackupFile, ListedFile, WriteFileOptions } from '../../ports/backup-container.js';
import { MAX_LISTING_LAG_MS } from './faults.js';
import { ListingLag } from './listing-lag.js';
import type { SimProcess, SimWorld } from './process.js';

/** Called when a file becomes visible. */
export type FileObserver = (file: { url: string; name: string; bytes: Uint8Array; process: SimProcess }) => void;

/** Called when a file goes, before it has gone. */
export type DeleteObserver = (file: { url: string; name: string; process: SimProcess }) => void;

/** `down` fails every call for now; `gone` fails every call for good. */
export type ContainerHealth = 'fine' | 'down' | 'gone';

/** A call that takes longer counts as trouble, ms. */
const SLOW_MS = 50;
const HANG_MS = { least: 100, most: 900 };

/** All containers of a run, by URL. */
export class SimContainers {
  readonly #world: SimWorld;
  readonly #observers: FileObserver[] = [];
  readonly #deleteObservers: DeleteObserver[] = [];
  readonly #files = new Map<string, Map<string, Uint8Array>>();
  readonly #health = new Map<string, ContainerHealth>();
  readonly #trouble = new Map<string, number>();
  /** Finished files that listings do not show yet, and deleted ones that they still show, by URL. */
  readonly #lag = new Map<string, ListingLag>();

  constructor(world: SimWorld) {
    this.#world = world;
  }

  onFile(observer: FileObserver): void {
    this.#observers.push(observer);
  }

  onDelete(observer: DeleteObserver): void {
    this.#deleteObservers.push(observer);
  }

  setHealth(url: string, health: ContainerHealth): void {
    this.#world.trace.add('container', `${url} is ${health}`);
    this.#world.hits.add(`fault: container ${health}`);
    this.#health.set(url, health);
  }

  health(url: string): ContainerHealth {
    return this.#health.get(url) ?? 'fine';
  }

  /** What a process gets from `openContainer`. */
  open(process: SimProcess, url: string): Promise<BackupContainer> {
    return Promise.resolve(this.#client(process, url));
  }

  /** The finished files, by name: for the oracle. */
  files(url: string): ReadonlyMap<string, Uint8Array> {
    return this.#files.get(url) ?? new Map<string, Uint8Array>();
  }

  /** A container that only reads, never fails and takes no time: for the oracle. */
  reader(url: string): BackupContainer {
    const refuse = () => Promise.reject(new BackupError('INVALID_STATE', 'the oracle writes nothing'));
    return {
      url,
      listingLag: 0,
      create: refuse,
      exists: () => Promise.resolve(this.#files.has(url)),
      writeFile: refuse,
      readFile: (name, offset, length) => Promise.resolve(this.#read(url, name, offset, length)),
      listFiles: (prefix) => yieldAll(this.#list(url, prefix)),
      deleteFile: refuse,
    };
  }

  /** As `reader`, but its listings lag as everybody's do. */
  laggingReader(url: string): BackupContainer {
    return {
      ...this.reader(url),
      listingLag: MAX_LISTING_LAG_MS,
      listFiles: (prefix) => yieldAll(this.#lagOf(url).listed(prefix, this.#list(url, prefix))),
    };
  }

  #client(process: SimProcess, url: string): BackupContainer {
    const call = <T>(what: string, effect: () => T) => this.#call(process, url, what, effect);
    return {
      url,
      listingLag: MAX_LISTING_LAG_MS,
      create: () => call('create', () => void this.#folder(url)),
      exists: () => call('exists', () => this.#files.has(url)),
      writeFile: (name, options) => call(`open ${name}`, () => this.#writer(process, url, name, options)),
      readFile: (name, offset, length) => call(`read ${name}`, () => this.#read(url, name, offset, length)),
      listFiles: (prefix) => this.#listPages(process, url, prefix),
      deleteFile: (name) => call(`delete ${name}`, () => this.#delete(process, url, name)),
    };
  }

  /** Virtual ms at which a container last kept somebody waiting, or failed; undefined: never. */
  lastTrouble(url: string): number | undefined {
    return this.#trouble.get(url);
  }

  async #call<T>(process: SimProcess, url: string, what: string, effect: () => T): Promise<T> {
    const { faults, hits, random, scheduler } = this.#world;
    const plan = faults.plan('container');
    const isTrouble = plan.failure !== 'none' || plan.before + plan.after > SLOW_MS || this.health(url) !== 'fine';
    if (isTrouble) this.#trouble.set(url, scheduler.now + plan.before + plan.after);
    if (faults.strikes('hang')) {
      this.#trouble.set(url, scheduler.now + HANG_MS.most);
      const half = () => process.clock.sleep(random.between(HANG_MS.least, HANG_MS.most) / 2);
      await half();
      if (random.chance(0.3) && this.health(url) === 'fine') {
        hits.add('fault: hanging call takes effect');
        effect();
      }
      await half();
      throw unavailable(url, 'hung');
    }
    return process.callWithPlan(
      plan,
      `${url} ${what}`,
      () => this.#healthy(url, effect),
      () => unavailable(url, 'failed'),
    );
  }

  #healthy<T>(url: string, effect: () => T): T {
    const health = this.health(url);
    if (health !== 'fine') this.#trouble.set(url, this.#world.scheduler.now);
    if (health === 'down') throw unavailable(url, 'is down');
    if (health === 'gone')
      throw new BackupError('CONTAINER_UNAVAILABLE', `${url} is gone for good`, { container: url });
    return effect();
  }

  #writer(process: SimProcess, url: string, name: string, options?: WriteFileOptions): BackupFile {
    const pieces: Uint8Array[] = [];
    let state: 'open' | 'finished' | 'aborted' | 'broken' = 'open';
    const checkOpen = () => {
      if (state !== 'open') throw new BackupError('INVALID_STATE', `${name} is ${state}`, { file: name });
    };
    process.onDeath(() => {
      if (state === 'open' && pieces.length > 0) this.#world.hits.add('fault: half file left behind');
    });
    // The memory is the writer's again as soon as an append has resolved.
    const take = (chunks: readonly Uint8Array[]) => {
      for (const chunk of chunks) pieces.push(chunk.slice());
    };
    return {
      name,
      append: (chunks) => {
        const isHalf = chunks.length > 0 && this.#world.faults.strikes('halfAppend');
        return this.#call(process, url, `append ${name}`, () => {
          checkOpen();
          if (!isHalf) return take(chunks);
          this.#trouble.set(url, this.#world.scheduler.now);
          take(chunks.slice(0, chunks.length >>> 1));
          state = 'broken';
          throw unavailable(url, 'took a part');
        });
      },
      finish: () =>
        this.#call(process, url, `finish ${name}`, () => {
          checkOpen();
          state = 'finished';
          this.#publish(process, url, name, Buffer.concat(pieces), options);
        }),
      abort: () => {
        if (state !== 'finished') state = 'aborted';
        return Promise.resolve();
      },
    };
  }

  #publish(process: SimProcess, url: string, name: string, bytes: Uint8Array, options?: WriteFileOptions): void {
    const folder = this.#folder(url);
    if (options?.exclusive === true && folder.has(name))
      throw new BackupError('FILE_EXISTS', `${name} exists`, { file: name });
    process.note(`FILE ${url} ${name} ${bytes.length} bytes`);
    folder.set(name, bytes);
    this.#lagOf(url).finished(name);
    for (const observer of this.#observers) observer({ url, name, bytes, process });
  }

  #folder(url: string): Map<string, Uint8Array> {
    let folder = this.#files.get(url);
    if (folder === undefined) {
      folder = new Map();
      this.#files.set(url, folder);
    }
    return folder;
  }

  #delete(process: SimProcess, url: string, name: string): void {
    const folder = this.#files.get(url);
    if (folder?.has(name) !== true) return;
    process.note(`DELETE ${url} ${name}`);
    for (const observer of this.#deleteObservers) observer({ url, name, process });
    this.#lagOf(url).deleted(name, folder.get(name)?.length ?? 0);
    folder.delete(name);
  }

  #lagOf(url: string): ListingLag {
    let lag = this.#lag.get(url);
    if (lag === undefined) {
      lag = new ListingLag(this.#world);
      this.#lag.set(url, lag);
    }
    return lag;
  }

  /** Page by page: what comes or goes between two of them may be listed or not. */
  async *#listPages(process: SimProcess, url: string, prefix: string): AsyncGenerator<ListedFile> {
    const { random } = this.#world;
    const pageSize = random.chance(0.3) ? random.int(1, 30) : Number.POSITIVE_INFINITY;
    for (let after = ''; ;) {
      const rest = () =>
        this.#lagOf(url)
          .listed(prefix, this.#list(url, prefix))
          .filter(({ name }) => name > after);
      const left = await this.#call(process, url, `list ${prefix}`, rest);
      yield* left.slice(0, pageSize);
      if (left.length <= pageSize) return;
      after = left[pageSize - 1]?.name ?? '';
    }
  }

  #read(url: string, name: string, offset: number, length: number): Uint8Array {
    const bytes = this.#files.get(url)?.get(name);
    if (bytes === undefined)
      throw new BackupError('FILE_NOT_FOUND', `${url} has no file ${name}`, { file: name, container: url });
    return bytes.slice(offset, offset + length);
  }

  #list(url: string, prefix: string): ListedFile[] {
    return [...(this.#files.get(url) ?? [])]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, bytes]) => ({ name, size: bytes.length }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

async function* yieldAll(files: readonly ListedFile[]): AsyncGenerator<ListedFile> {
  yield* files;
}

function unavailable(url: string, why: string): BackupError {
  return new BackupError('CONTAINER_UNAVAILABLE', `${url} ${why}`, { container: url, retryable: true });
}
