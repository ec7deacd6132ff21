// Actors are joined by whoever started them: a main task with helpers that live as long as it does.

import { AbortScope } from '../core/abort.js';

export type Task<T> = (signal: AbortSignal) => Promise<T>;

/**
 * Runs `main` with `helpers` beside it. When main ends, the helpers are aborted; when any of them fails, all are aborted and that failure is thrown.
 * A helper may also end early. Everything has settled when this returns.
 */
export async function withHelpers<T>(parent: AbortSignal, main: Task<T>, helpers: readonly Task<void>[]): Promise<T> {
  const scope = new AbortScope(parent);
  let firstFailure: { readonly error: unknown } | undefined;
  const guard = async <R>(task: Task<R>): Promise<R> => {
    try {
      return await task(scope.signal);
    } catch (error) {
      // What fails after the end of the scope is a consequence of it.
      if (!scope.signal.aborted) firstFailure ??= { error };
      scope.end(error);
      throw error;
    }
  };
  const background = helpers.map((helper) => guard(helper));
  // A helper's failure reaches the caller through firstFailure, below.
  for (const helper of background) void helper.catch(() => undefined);
  try {
    const result = await guard(main);
    scope.end();
    await Promise.allSettled(background);
    if (firstFailure !== undefined) throw firstFailure.error;
    return result;
  } catch (error) {
    scope.end();
    await Promise.allSettled(background);
    throw firstFailure === undefined ? error : firstFailure.error;
  }
}
