export type * from './backup-container.js';
export type * from './log-source.js';
export type * from './progress-store.js';
export type * from './restore-target.js';
