// What tests of hosts and adapters use: in-memory fakes, conformance suites, the simulator.

export * from './conformance.js';
export * from './container-suite.js';
export * from './log-suite.js';
export * from './manual-clock.js';
export type { MemoryDatabase, MemoryDatabaseCall, MemoryDatabaseOptions } from './memory-database.js';
export * from './memory-log.js';
export type { FailNextOptions, MemoryLogCall } from './memory-log-faults.js';
export * from './memory-range-source.js';
export * from './memory-restore-target.js';
export * from './memory-txn-source.js';
export * from './range-suite.js';
export * from './store-suite.js';
export * from './target-suite.js';
export * from './txn-range-suite.js';
export { PLANTED_BUGS, type PlantedBug } from './simulation/planted-bugs.js';
export type { SimRules } from './simulation/planted-rules.js';
export { simulate, type SimulateOptions, type SimulationResult } from './simulation/simulate.js';
export type { SimViolation } from './simulation/verdict.js';
