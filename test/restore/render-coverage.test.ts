import { describe, expect, it } from 'vitest';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { describeBackup } from '../../src/restore/describe.js';
import { renderCoverage } from '../../src/restore/render-coverage.js';
import { goldenContainer } from '../format/golden.js';
import { newContainer, putEmptyLogs, putMarker, putSnapshot } from './container-builder.js';

async function picture(
  layout: Parameters<typeof putEmptyLogs>[1],
  snapshots: readonly (readonly [bigint, bigint])[] = [],
): Promise<string> {
  const container = await newContainer();
  await putMarker(container);
  await putEmptyLogs(container, layout);
  for (const [begin, end] of snapshots) await putSnapshot(container, begin, end);
  return renderCoverage(await describeBackup(container));
}

/** Checks that tags nest and that attributes are quoted; returns the text between the tags. */
function checkXml(svg: string): string {
  const open: string[] = [];
  const content = svg.replace(
    /<(\/?)([a-z]+)((?: [a-zA-Z0-9-]+="[^"<]*")*)(\/?)>/g,
    (_, close: string, name: string, _attributes: string, empty: string) => {
      if (close !== '') expect(open.pop()).toBe(name);
      else if (empty === '') open.push(name);
      return '\n';
    },
  );
  expect(open).toEqual([]);
  expect(content).not.toMatch(/[<>]|&(?!(amp|lt|gt|quot|#39);)/);
  return content;
}

const count = (svg: string, pattern: RegExp) => [...svg.matchAll(pattern)].length;

describe('renderCoverage', () => {
  it('draws an empty container', async () => {
    expect(checkXml(await picture({}))).toContain('There is no log file and no snapshot.');
  });

  it('draws a bar per file, a row per tag, and what can be restored', async () => {
    const svg = await picture({
      '0/2': [
        [1, 50],
        [50, 100],
      ],
      '1/2': [
        [1, 30],
        [30, 60],
        [60, 100],
      ],
    });
    const words = checkXml(svg);
    expect(count(svg, /<rect[^>]*fill="#b5cbe3"[^>]*><title>/g)).toBe(5);
    for (const word of ['tag 0', 'tag 1', 'version', 'restorable 1 to 99', '5 log files', '0 gaps'])
      expect(words).toContain(word);
  });

  it('draws gaps in red with their reason, and what is merely late in grey', async () => {
    const svg = await picture({
      '0/2': [
        [1, 40],
        [60, 100],
      ],
      '1/2': [[20, 90]],
    });
    checkXml(svg);
    expect(svg).toMatch(/fill="#d62728"[^>]*><title>tag 0 of 2 has no file for \[40, 60\)/);
    expect(count(svg, /fill="#d9d9d9"[^>]*><title>tag 1 of 2/g)).toBe(2);
    expect(svg).toContain('not restorable');
  });

  it('shows a gap that is far narrower than a pixel', async () => {
    const svg = await picture({
      '0/1': [
        [1, 500_000_000],
        [500_000_001, 1_000_000_000],
      ],
    });
    const [, width] = /width="([0-9.]+)"[^>]*fill="#d62728"[^>]*><title>tag/.exec(svg)!;
    expect(Number(width)).toBeGreaterThanOrEqual(2);
  });

  it('stays small however many files there are', async () => {
    const files = Array.from({ length: 4000 }, (_, i) => [i + 1, i + 2] as const);
    const svg = await picture({ '0/2': files, '1/2': files });
    checkXml(svg);
    expect(count(svg, /<rect/g)).toBeLessThan(2 * 1100);
    expect(svg).toMatch(/<title>\[1, \d+\): \d+ files/);
  });

  it('draws snapshots, epochs and overlaps', async () => {
    const svg = await picture(
      {
        '0/1': [
          [1, 30],
          [5, 20],
        ],
        '0/2': [[30, 60]],
        '1/2': [[30, 60]],
      },
      [[40n, 44n]],
    );
    const words = checkXml(svg);
    expect(svg).toContain('from 30 on: 2 tags');
    expect(svg).toContain('snapshot 40 to 44');
    expect(svg).toContain('lies within another file');
    expect(words).toContain('snapshots');
  });

  it('draws snapshots from begin to end, side by side where they overlap, and says which can be used', async () => {
    const container = await newContainer();
    await putMarker(container);
    await putEmptyLogs(container, {
      '0/1': [
        [1, 60],
        [70, 100],
      ],
    });
    await putSnapshot(container, 10n, 30n);
    await putSnapshot(container, 20n, 40n);
    await putSnapshot(container, 50n, 65n);
    await putSnapshot(container, 80n, 80n, { missingFile: true });
    await putSnapshot(container, 90n, 90n, { end: '\\u0040' });
    const svg = renderCoverage(await describeBackup(container));
    const words = checkXml(svg);
    const bars = [
      ...svg.matchAll(
        /<rect x="([0-9.]+)" y="([0-9.]+)" width="([0-9.]+)"[^>]*fill="(#[0-9a-f]+)"><title>snapshot (\d+) to (\d+), ?([^:]*): ([^<]*)/g,
      ),
    ];
    expect(bars.map(([, , , , color, begin, , , state]) => [color, begin, state!.slice(0, 10)])).toEqual([
      ['#8e5bb5', '10', 'restorable'],
      ['#8e5bb5', '20', 'restorable'],
      ['#d62728', '50', 'not usable'],
      ['#d3bfe3', '90', 'only a par'],
    ]);
    expect(svg).toMatch(/<title>snapshot 80 to 80: not usable: 1 of its 1 range files are missing/);
    const [first, second] = bars.map(([, x, y, width]) => ({ x: Number(x), y: Number(y), width: Number(width) }));
    expect(second!.x).toBeLessThan(first!.x + first!.width);
    expect(second!.y).toBeGreaterThan(first!.y);
    for (const word of ['5 snapshots (3 not restorable)', 'snapshot of a part', 'snapshot not usable'])
      expect(words).toContain(word);
  });

  it('stays small however many snapshots there are', async () => {
    const description = await describeBackup(await newContainer());
    const snapshots = Array.from({ length: 20_000 }, (_, i) => ({
      name: `snapshots/snapshot,${i},${i},1`,
      beginVersion: BigInt(i),
      endVersion: BigInt(i),
      totalBytes: 1,
      files: 1,
      ranges: [],
      missing: [],
      usable: true,
      restorable: true,
      reason: undefined,
      manifestChecked: true,
    }));
    const svg = renderCoverage({ ...description, snapshots });
    checkXml(svg);
    expect(count(svg, /<title>snapshot /g)).toBeLessThan(1200);
  });

  it('makes no markup of what comes from outside', async () => {
    const description = await describeBackup(await newContainer());
    const svg = renderCoverage({ ...description, url: `file:///<script>&"'\u0000\ud800` });
    expect(checkXml(svg)).toContain('&lt;script&gt;&amp;&quot;&#39;\ufffd\ufffd');
  });

  it('draws a golden container', async () => {
    const svg = renderCoverage(await describeBackup(new DirectoryContainer(goldenContainer('small3')!)));
    expect(checkXml(svg)).toContain('restorable 211\u2009016\u2009146 to 337\u2009036\u2009558');
  });
});
