// Work done by several at once, of which the first failure ends the rest and is the one that is told. Must never lose a failure, nor let the others go on for long after one.

import type { AbortScope } from './abort.js';

/** What fails after the first is a consequence of it: it is not told. Wait for all that is guarded, then ask with `throwIfAny`. */
export class FirstFailure {
  readonly #scope: AbortScope;
  #failure: { readonly error: unknown } | undefined;

  /** `scope`: its signal is what all of the work heeds. It ends with the first failure as its reason. */
  constructor(scope: AbortScope) {
    this.#scope = scope;
  }

  /** Resolves when the work has ended, whatever came of it. */
  async guard(work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#failure ??= { error };
      this.#scope.end(error);
    }
  }

  throwIfAny(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
