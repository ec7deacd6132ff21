export type * from './backup-container.js';
export type * from './log-source.js';
export * from './progress-store.js';
export type * from './range-source.js';
export type * from './restore-target.js';
