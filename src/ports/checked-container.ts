// A BackupContainer whose answers are looked at before anything relies on them.

import { isBytes } from '../core/bytes.js';
import type { Clock } from '../core/clock.js';
import type { BackupError } from '../core/errors.js';
import { compareFileNames, fileNameProblem } from '../core/file-name.js';
import { errorWithoutSecret } from '../core/redact-error.js';
import { redactUrl } from '../core/redact-url.js';
import type { BackupContainer, BackupFile, ListedFile, WriteFileOptions } from './backup-container.js';
import { answerOf, asError, brokenContract, iteratorOf, lacksFunction, show } from './broken-contract.js';
import { statedListingLag } from './listing-lag.js';

/** Names in one listing. A container that has more is read by nobody: the names alone would fill the memory. */
const MOST_FILES = 100_000_000;
/** Names after which the host gets a turn. */
const NAMES_PER_TURN = 4_096;

const METHODS = ['create', 'exists', 'writeFile', 'readFile', 'listFiles', 'deleteFile'];

/** As `checkedContainer`, for what a host's `openContainer` has given: ADAPTER_CONTRACT for what is no BackupContainer at all. */
export function checkedOpen(
  open: (url: string) => BackupContainer | Promise<BackupContainer>,
  clock: Clock,
): (url: string) => Promise<BackupContainer> {
  return async (url) => {
    const container = await answerOf('openContainer', async () => {
      try {
        return await open(url);
      } catch (error) {
        throw errorWithoutSecret(error, url);
      }
    });
    const missing = lacksFunction(container, METHODS);
    if (missing === undefined) return checkedContainer(container, clock);
    throw brokenContract('openContainer', `it gave ${show(container)}, which has no function ${missing}`, {
      container: url,
    });
  };
}

/** ADAPTER_CONTRACT for a container without a URL, or whose `listingLag` is no time. Wraps once. `mostFiles`: for tests. */
export function checkedContainer(
  container: BackupContainer,
  clock: Clock,
  mostFiles: number = MOST_FILES,
): BackupContainer {
  if (container instanceof CheckedContainer) return container;
  const { url } = container;
  if (typeof url !== 'string' || url === '')
    throw brokenContract('BackupContainer', `its url must be a name, got ${show(url)}`);
  return new CheckedContainer(container, clock, mostFiles);
}

class CheckedContainer implements BackupContainer {
  readonly url: string;
  readonly decrypts?: boolean;
  readonly listingLag?: number;
  readonly #inner: BackupContainer;
  readonly #clock: Clock;
  readonly #mostFiles: number;

  constructor(inner: BackupContainer, clock: Clock, mostFiles: number) {
    this.url = redactUrl(inner.url);
    if (inner.decrypts !== undefined) this.decrypts = inner.decrypts;
    const listingLag = statedListingLag(inner);
    if (listingLag !== undefined) this.listingLag = listingLag;
    this.#inner = inner;
    this.#clock = clock;
    this.#mostFiles = mostFiles;
  }

  create(): Promise<void> {
    return answerOf('BackupContainer.create', () => this.#inner.create());
  }

  async exists(): Promise<boolean> {
    const answer = await answerOf('BackupContainer.exists', () => this.#inner.exists());
    if (typeof answer !== 'boolean')
      throw this.#refuse('exists', `it answered ${show(answer)}, neither true nor false`);
    return answer;
  }

  async writeFile(name: string, options?: WriteFileOptions): Promise<BackupFile> {
    const file = await answerOf('BackupContainer.writeFile', () => this.#inner.writeFile(name, options));
    const missing = lacksFunction(file, ['append', 'finish', 'abort']);
    if (missing !== undefined)
      throw this.#refuse('writeFile', `it gave a file without the function ${missing} for ${name}`, name);
    return {
      name,
      append: (chunks) => answerOf('BackupFile.append', () => file.append(chunks)),
      finish: () => answerOf('BackupFile.finish', () => file.finish()),
      // What is discarded is never listed; the error that led here is the one to tell.
      abort: () => answerOf('BackupFile.abort', () => file.abort()).catch(() => undefined),
    };
  }

  async readFile(name: string, offset: number, length: number): Promise<Uint8Array> {
    const bytes = await answerOf('BackupContainer.readFile', () => this.#inner.readFile(name, offset, length));
    if (!isBytes(bytes)) throw this.#refuse('readFile', `it gave ${show(bytes)} for ${name}, not bytes`, name);
    if (bytes.length > length)
      throw this.#refuse(
        'readFile',
        `it gave ${bytes.length} bytes of ${name}, ${length} were asked for`,
        name,
        offset,
      );
    return bytes;
  }

  async *listFiles(prefix: string): AsyncGenerator<ListedFile, void, undefined> {
    const call = 'BackupContainer.listFiles';
    const files = iteratorOf(call, () => this.#inner.listFiles(prefix));
    let before: string | undefined;
    let isOver = false;
    let isRefused = true;
    try {
      for (let count = 1; ; count++) {
        // No call of a function that waits for each name: there may be millions.
        let next: IteratorResult<ListedFile, unknown>;
        try {
          next = await files.next();
        } catch (error) {
          isOver = true;
          throw asError(call, error);
        }
        if (next.done === true) {
          isOver = true;
          return;
        }
        const file = this.#checkListed(prefix, before, next.value);
        if (count > this.#mostFiles)
          throw this.#refuse('listFiles', `the listing of "${prefix}" has not ended after ${this.#mostFiles} names`);
        if (count % NAMES_PER_TURN === 0) await this.#clock.yieldToHost();
        before = file.name;
        // Object stores have markers for folders, made by consoles and other tools: they are no files, and in nobody's way.
        if (before.endsWith('/')) continue;
        isRefused = false;
        yield file;
        isRefused = true;
      }
    } finally {
      if (!isOver) {
        const returned = answerOf(call, () => files.return?.());
        // What was wrong with the listing is told, and not what it says to being left.
        if (isRefused) void returned.catch(() => undefined);
        else await returned;
      }
    }
  }

  deleteFile(name: string): Promise<void> {
    return answerOf('BackupContainer.deleteFile', () => this.#inner.deleteFile(name));
  }

  /** A copy: what the container does to its own object later changes nothing. */
  #checkListed(prefix: string, before: string | undefined, file: ListedFile | undefined): ListedFile {
    const refuse = (what: string) => this.#refuse('listFiles', `the listing of "${prefix}" ${what}`);
    const name: unknown = file?.name;
    if (typeof name !== 'string') throw refuse(`yielded ${show(name)} as a name`);
    const problem = fileNameProblem(name.endsWith('/') ? `${name}x` : name);
    if (problem !== undefined) throw refuse(`yielded ${show(name)}, which cannot name a file: ${problem}`);
    if (!name.startsWith(prefix)) throw refuse(`yielded ${show(name)}`);
    // The engine's own comparison first: it is many times faster, and differs only for names that are none of ours.
    if (before !== undefined && !(before < name) && compareFileNames(before, name) >= 0)
      throw refuse(
        before === name ? `yielded ${show(name)} twice` : `is not in order: ${show(name)} after ${show(before)}`,
      );
    const size: unknown = file?.size;
    if (!Number.isSafeInteger(size) || (size as number) < 0)
      throw refuse(`says that ${show(name)} has ${show(size)} bytes`);
    return { name, size: size as number };
  }

  #refuse(method: string, what: string, file?: string, offset?: number): BackupError {
    return brokenContract(`BackupContainer.${method}`, `${this.url}: ${what}`, { container: this.url, file, offset });
  }
}
