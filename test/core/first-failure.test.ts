// What several do at once: the first failure ends the rest, and is the one that is told.

import { describe, expect, it } from 'vitest';
import { AbortScope } from '../../src/core/abort.js';
import { FirstFailure } from '../../src/core/first-failure.js';

describe('FirstFailure', () => {
  it('says nothing where nothing failed, and leaves the scope open', async () => {
    using scope = new AbortScope();
    const failure = new FirstFailure(scope);
    await Promise.all([failure.guard(Promise.resolve()), failure.guard(Promise.resolve(1))]);
    failure.throwIfAny();
    expect(scope.signal.aborted).toBe(false);
  });

  it('ends what heeds the scope, and tells what came first', async () => {
    using scope = new AbortScope();
    const failure = new FirstFailure(scope);
    const first = new Error('first');
    const heeding = new Promise((_resolve, reject) => {
      scope.signal.addEventListener('abort', () => reject(new Error('a consequence')));
    });
    await Promise.all([failure.guard(heeding), failure.guard(Promise.reject(first))]);
    expect(scope.signal.reason).toBe(first);
    expect(() => failure.throwIfAny()).toThrow(first);
  });

  it('tells whatever was thrown, were it null', async () => {
    using scope = new AbortScope();
    const failure = new FirstFailure(scope);
    const reasonless = AbortSignal.abort(null);
    await failure.guard((async () => reasonless.throwIfAborted())());
    let thrown: unknown = 'nothing';
    try {
      failure.throwIfAny();
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeNull();
  });
});
