import { describe, expect, it } from 'vitest';

import { PressLine, Turn, type WaitingTask } from '../../src/br/threads/press-line.js';
import { MultilevelQueue } from '../../src/schedule/multilevel-queue.js';
import { WorkClock } from '../schedule/fakes.js';

/** A line of tasks with names, and what piscina would do with it. */
function lineOf() {
  const queue = new MultilevelQueue({ clock: new WorkClock() });
  const turns = new Map<WaitingTask, Turn>();
  const names = new Map<WaitingTask, string>();
  const line = new PressLine(queue, (task) => turns.get(task)!);
  const task = (name: string): WaitingTask => {
    const time = queue.timeOf(name[0]);
    const made = {} as WaitingTask;
    turns.set(made, new Turn(time, queue.levelOf(time)));
    names.set(made, name);
    line.push(made);
    return made;
  };
  const shift = () => {
    const next = line.shift();
    return next === null ? undefined : names.get(next);
  };
  return { queue, line, task, shift, levelOf: (made: WaitingTask) => turns.get(made)!.level };
}

describe('PressLine', () => {
  it('is in line by the time that the threads have spent on whom a task is for', () => {
    const { queue, task, shift, levelOf } = lineOf();
    queue.count(queue.timeOf('l'), 0, 50);
    queue.count(queue.timeOf('x'), 0, 500);
    const tasks = ['l1', 'x1', 's1', 's2'].map((name) => task(name));
    expect(tasks.map(levelOf)).toEqual([1, 2, 0, 0]);
    expect([shift(), shift(), shift(), shift(), shift()]).toEqual(['s1', 's2', 'l1', 'x1', undefined]);
  });

  it('a task that found no free thread keeps the turn that it was dealt', () => {
    const { line, task, shift } = lineOf();
    const first = task('a1');
    task('a2');
    task('b1');
    expect(line.size).toBe(3);
    expect(shift()).toBe('a1');
    line.push(first);
    expect(line.size).toBe(3);
    task('c1');
    expect([shift(), shift(), shift(), shift(), shift()]).toEqual(['a1', 'a2', 'b1', 'c1', undefined]);
    expect(line.size).toBe(0);
  });

  it('lets a task be taken out, wherever it waits', () => {
    const { line, task, shift } = lineOf();
    const [first, second] = [task('a1'), task('a2')];
    task('a3');
    expect(shift()).toBe('a1');
    line.push(first);
    line.remove(first);
    line.remove(second);
    line.remove(second);
    expect(line.size).toBe(1);
    expect([shift(), shift()]).toEqual(['a3', undefined]);
  });
});
