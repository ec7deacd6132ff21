// Merges sorted runs lazily, so that sorting a long list never holds up the host for long.

/** All items of the runs in order. Takes O(log(number of runs)) comparisons an item. */
export function* mergeSorted<T>(runs: readonly (readonly T[])[], compare: (a: T, b: T) => number): Generator<T> {
  const heap = runs.filter((run) => run.length > 0).map((run) => ({ run, at: 0 }));
  const head = (i: number) => (heap[i] as (typeof heap)[number]).run[(heap[i] as (typeof heap)[number]).at] as T;
  const siftDown = (start: number) => {
    let i = start;
    for (;;) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < heap.length && compare(head(child), head(least)) < 0) least = child;
      }
      if (least === i) return;
      [heap[i], heap[least]] = [heap[least] as (typeof heap)[number], heap[i] as (typeof heap)[number]];
      i = least;
    }
  };
  for (let i = heap.length >> 1; i >= 0 && heap.length > 0; i--) siftDown(i);
  for (let top = heap[0]; top !== undefined; top = heap[0]) {
    yield top.run[top.at] as T;
    top.at++;
    if (top.at === top.run.length) {
      const last = heap.pop() as (typeof heap)[number];
      if (heap.length > 0) heap[0] = last;
    }
    if (heap.length > 1) siftDown(0);
  }
}
