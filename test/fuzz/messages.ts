// What the command line and its child processes say to each other.

/** So many cases of a target. */
export interface Assignment {
  readonly target: string;
  readonly cases: number;
  readonly seed: number;
  readonly guided: boolean;
}

export interface FailureReport {
  readonly target: string;
  readonly hex: string;
  readonly message: string;
}

/** Of everything that a child has run of a target so far. */
export interface TargetReport {
  readonly target: string;
  readonly cases: number;
  readonly accepted: number;
  readonly refused: readonly (readonly [code: string, count: number])[];
  readonly corpus: number;
  readonly reached: number;
  readonly slowestMs: number;
  readonly slowestBytes: number;
  readonly peakMemory: number;
}

export type ChildMessage =
  | { readonly kind: 'ready' }
  /** A case has begun since the last one. */
  | { readonly kind: 'alive'; readonly cases: number }
  | { readonly kind: 'failure'; readonly failure: FailureReport }
  | { readonly kind: 'done'; readonly report: TargetReport; readonly peakRss: number };
