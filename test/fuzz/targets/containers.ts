// Whole containers.

import type { FuzzTarget } from '../target.js';

export const containers: readonly FuzzTarget[] = [];
