// A deliberate mistake inside a worker that is more than another decision.

import { FlowLock } from '../../pipeline/flow-lock.js';

/** Whatever is given back is given back twice, as far as anything is held. */
export class TwiceReleasedLock extends FlowLock {
  override release(amount: number): void {
    super.release(Math.min(2 * amount, this.activePermits));
  }
}
