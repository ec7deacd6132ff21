// Client processes of an EtcdProgressStore: started, watched and ended by a test.

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const CLIENT = fileURLToPath(new URL('./fixtures/etcd-client.ts', import.meta.url));

export interface ClientProcess {
  readonly process: ChildProcess;
  readonly name: string;
  readonly lines: readonly string[];
  /** How often it has said this. */
  count(line: string): number;
  /** Resolves once it has said this so often. */
  said(line: string, times?: number): Promise<void>;
  /** Resolves with the exit code, undefined when it was killed. */
  readonly ended: Promise<number | undefined>;
}

export function startClient(
  urls: readonly string[],
  prefix: string,
  name: string,
  task: string,
  count = 0,
): ClientProcess {
  const args = ['--import', 'tsx', CLIENT, urls.join(','), prefix, name, task, String(count)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  let onLine: (() => void)[] = [];
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const complete = (rest + text).split('\n');
    rest = complete.pop() ?? '';
    lines.push(...complete);
    for (const wake of onLine.splice(0)) wake();
  });
  const ended = new Promise<number | undefined>((resolve) => child.once('close', (code) => resolve(code ?? undefined)));
  const counted = (line: string) => lines.filter((each) => each === line).length;
  return {
    process: child,
    name,
    lines,
    ended,
    count: counted,
    said: async (line, times = 1) => {
      let isOver = false;
      void ended.then(() => {
        isOver = true;
        for (const wake of onLine.splice(0)) wake();
      });
      while (counted(line) < times) {
        if (isOver) throw new Error(`${name} ended without having said "${line}": ${lines.join(' | ')}`);
        await new Promise<void>((resolve) => (onLine = [...onLine, resolve]));
      }
    },
  };
}
