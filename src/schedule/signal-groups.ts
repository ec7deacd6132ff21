// Many members that wait for few signals: one listener per signal, however many wait for it (Node warns of more than ten).

export class SignalGroups<T> {
  readonly #groups = new Map<AbortSignal, { readonly members: Set<T>; readonly onAbort: () => void }>();
  readonly #onAbort: (member: T, reason: unknown) => void;

  /** `onAbort` is called for each member, in the order in which they came, in the step in which their signal aborts. */
  constructor(onAbort: (member: T, reason: unknown) => void) {
    this.#onAbort = onAbort;
  }

  /** The signal must not have aborted yet. */
  add(signal: AbortSignal, member: T): void {
    let group = this.#groups.get(signal);
    if (group === undefined) {
      const members = new Set<T>();
      const onAbort = () => {
        this.#groups.delete(signal);
        for (const waiting of members) this.#onAbort(waiting, signal.reason);
      };
      group = { members, onAbort };
      this.#groups.set(signal, group);
      signal.addEventListener('abort', onAbort, { once: true });
    }
    group.members.add(member);
  }

  /** Nothing is left at a signal for which nobody waits any more. */
  delete(signal: AbortSignal, member: T): void {
    const group = this.#groups.get(signal);
    if (group === undefined) return;
    group.members.delete(member);
    if (group.members.size > 0) return;
    this.#groups.delete(signal);
    signal.removeEventListener('abort', group.onAbort);
  }
}
