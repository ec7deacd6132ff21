import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareBytes, utf8 } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import type { BackupStore } from '../../src/br/request/backup-store.js';
import { AnsweredRanges } from '../../src/br/request/answered-ranges.js';
import { BackupRequestBuilder } from '../../src/br/request/backup-request-builder.js';
import type { StoreAnswer } from '../../src/br/request/gather-backup.js';
import { gatherBackup } from '../../src/br/request/gather-backup.js';
import type { BrInit, BrKeyRange } from '../../src/format/br/messages.js';
import type { BrError } from '../../src/format/br/error-messages.js';
import { FakeTikv, HastyClock, rangesOf } from './fake-tikv.js';

const builder = new BackupRequestBuilder().clusterId(7n).storage('local:///backup').versions({ at: 100n });
const whole = builder.range(utf8(''), utf8('')).build();
const random = { next: () => 0, uid: () => 'x' };

const region = (member: object): BrInit<BrError> => ({
  msg: '',
  detail: { kind: 'region', message: 'moved', ...member },
});

const text = ({ startKey, endKey }: BrKeyRange) =>
  `${Buffer.from(startKey).toString()}-${Buffer.from(endKey).toString()}`;

function gather(tikv: FakeTikv, options: Parameters<typeof gatherBackup>[2] = {}, request = whole) {
  return gatherBackup(request, tikv.stores(), { clock: new HastyClock(), random, ...options });
}

/** The ranges of the files cover the request without overlap and hole. */
function expectCovered(ranges: readonly BrKeyRange[], wanted: readonly BrKeyRange[]): void {
  const answers = new AnsweredRanges();
  for (const range of ranges) expect(answers.put({ ...range, files: [] })).toBe(0);
  expect(answers.missing(wanted)).toEqual([]);
}

describe('a backup of a cluster', () => {
  it('asks every store once and joins what they answer', async () => {
    const tikv = new FakeTikv(['b', 'd', 'f'], 2);
    const { ranges, files, rounds } = await gather(tikv);
    expect(ranges.map(text)).toEqual(['-b', 'b-d', 'd-f', 'f-']);
    expect(files).toHaveLength(4);
    expect(rounds).toBe(1);
    expect(tikv.requests.map(({ store }) => store)).toEqual([0, 1]);
  });

  it('asks again for what a store failed with, and only for that', async () => {
    const tikv = new FakeTikv(['b', 'd', 'f'], 2);
    tikv.fault = ({ region: { id }, times }) =>
      id === 2 && times === 1 ? { error: region({ epochNotMatch: { currentRegions: [] } }) } : undefined;
    const clock = new HastyClock();
    const { ranges } = await gather(tikv, { clock });
    expect(ranges.map(text)).toEqual(['-b', 'b-d', 'd-f', 'f-']);
    expect(tikv.requests.slice(2).map(({ message }) => rangesOf(message).map(text))).toEqual([['b-d'], ['b-d']]);
    expect(clock.sleeps).toEqual([1000]);
  });

  it.each([
    ['not leader', region({ notLeader: { regionId: 2n } })],
    ['region not found', region({ regionNotFound: { regionId: 2n } })],
    ['key not in region', region({ keyNotInRegion: {} })],
    ['stale command', region({ staleCommand: {} })],
    ['store not match', region({ storeNotMatch: {} })],
    ['read index', region({ readIndexNotReady: {} })],
    ['merging', region({ proposalInMergingMode: {} })],
    ['not ready', region({ dataIsNotReady: {} })],
    ['an unknown one', region({})],
    ['a lock', { msg: '', detail: { kind: 'key', locked: { key: utf8('c'), lockVersion: 5n, lockTtl: 3000n } } }],
    ['a retryable key error', { msg: '', detail: { kind: 'key', retryable: 'write conflict' } }],
    ['storage', { msg: 'Io(Custom { error: "Connection refused" })' }],
  ] as [string, BrInit<BrError>][])('asks again after an error that passes: %s', async (_name, error) => {
    const tikv = new FakeTikv(['b', 'd', 'f']);
    tikv.fault = ({ region: { id }, times }) => (id === 2 && times < 3 ? { error } : undefined);
    const answers: StoreAnswer[] = [];
    const { ranges, rounds } = await gather(tikv, { onAnswer: (answer) => answers.push(answer) });
    expect(rounds).toBe(3);
    expectCovered(ranges, whole.facts.ranges);
    expect(answers.filter(({ error }) => error !== undefined).map(({ error }) => error?.retryable)).toEqual([
      true,
      true,
    ]);
  });

  it.each([
    ['cluster id', { detail: { kind: 'cluster-id', current: 8n, request: 7n } }, 'INVALID_OPTION', /cluster 8/],
    ['abort', { detail: { kind: 'key', abort: 'no' } }, 'TIKV_FAILED', /no/],
    ['flashback', region({ flashbackInProgress: {} }), 'TIKV_FAILED', /flashback/],
    ['storage', { msg: 'Io(PermissionDenied)' }, 'TIKV_FAILED', /PermissionDenied/],
  ] as [string, BrInit<BrError>, string, RegExp][])(
    'ends at once with an error for good: %s',
    async (_name, error, code, message) => {
      const tikv = new FakeTikv(['b', 'd', 'f'], 3);
      tikv.fault = ({ store }) => (store === 1 ? { error } : 'silence');
      await expect(gather(tikv)).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
      expect(tikv.requests).toHaveLength(3);
    },
  );

  it('goes on where a stream broke', async () => {
    const tikv = new FakeTikv(['b', 'd', 'f']);
    const cut = new BackupError('TIKV_UNAVAILABLE', 'gone', { retryable: true });
    tikv.fault = ({ region: { id }, times }) => (id === 3 && times === 1 ? { cut } : undefined);
    const { ranges } = await gather(tikv);
    expect(ranges.map(text)).toEqual(['-b', 'b-d', 'd-f', 'f-']);
    expect(tikv.requests.map(({ message }) => rangesOf(message).map(text))).toEqual([['-'], ['d-']]);
  });

  it('gives up a store that says nothing', async () => {
    const tikv = new FakeTikv(['b']);
    tikv.fault = ({ region: { id }, times }) => (id === 2 && times === 1 ? 'silence' : undefined);
    const clock = new HastyClock(20_000);
    const errors: (string | undefined)[] = [];
    const answered = gather(tikv, {
      clock: {
        ...{ now: () => 0, wallTime: () => 0, yieldToHost: () => Promise.resolve() },
        // The second wait for the first stream is the one in which nothing comes.
        sleep: (ms, signal) =>
          ms === 90_000 && errors.length === 1 && tikv.requests.length === 1 ? nextTurns() : clock.sleep(ms, signal),
      },
      silenceTimeout: 90_000,
      onAnswer: ({ error }) => errors.push(error?.message),
    });
    expect((await answered).ranges.map(text)).toEqual(['-b', 'b-']);
    expect(errors.filter((error) => error !== undefined)).toEqual(['tikv-0 has said nothing for 90000 ms']);
  });

  it('waits longer while nothing moves, as long as a store asks for, and gives up in the end', async () => {
    const tikv = new FakeTikv(['b']);
    tikv.fault = ({ region: { id } }) =>
      id === 2 ? { error: region({ serverIsBusy: { backoffMs: 5000n } }) } : undefined;
    const clock = new HastyClock();
    const failure = await gather(tikv, { clock, maxAttempts: 5 }).catch((error: unknown) => error as BackupError);
    expect(failure).toMatchObject({
      code: 'SNAPSHOT_INCOMPLETE',
      retryable: true,
      message: expect.stringMatching(/\["b", no end\), asked 5 times in a row.*serverIsBusy/) as string,
    });
    expect((failure as Error).cause).toBeInstanceOf(AggregateError);
    expect(clock.sleeps).toEqual([5000, 5000, 5000, 5000, 8000]);
    expect(clock.pending).toBe(0);
  });

  it('says that nobody answered when nobody leads a range', async () => {
    const tikv = new FakeTikv(['b'], 2);
    (tikv.regions[1] as { leader: number | undefined }).leader = undefined;
    await expect(gather(tikv, { maxAttempts: 2 })).rejects.toMatchObject({
      code: 'SNAPSHOT_INCOMPLETE',
      message: expect.stringMatching(/does one of those that were asked lead/) as string,
    });
  });

  it('has locks resolved, each transaction once a round, and waits as the hook says', async () => {
    const tikv = new FakeTikv(['b', 'd']);
    const locked = (lockVersion: bigint): BrInit<BrError> => ({
      detail: { kind: 'key', locked: { key: utf8('c'), primaryLock: utf8('a'), lockVersion, lockTtl: 20n } },
    });
    tikv.fault = ({ region: { id }, times }) => (id > 1 && times < 3 ? { error: locked(9n) } : undefined);
    const clock = new HastyClock();
    const resolved: [bigint, string][] = [];
    await gather(tikv, {
      clock,
      resolveLock: (lock, { store }) => {
        resolved.push([lock.lockVersion, store]);
        return Promise.resolve(1700);
      },
    });
    expect(resolved).toEqual([
      [9n, 'tikv-0'],
      [9n, 'tikv-0'],
    ]);
    expect(clock.sleeps).toEqual([1700, 1700]);
    await expect(
      gather(Object.assign(new FakeTikv(['b']), { fault: () => ({ error: locked(1n) }) }), {
        resolveLock: () => Promise.reject(new Error('PD is away')),
      }),
    ).rejects.toThrow('PD is away');
  });

  it('asks for each range alone where stores know no sub-ranges, and refuses what such a store answers otherwise', async () => {
    const tikv = new FakeTikv(['b', 'd', 'f']);
    const request = builder.range(utf8('a'), utf8('b')).range(utf8('c'), utf8('d')).build();
    const { ranges } = await gather(tikv, { useSubRanges: false }, request);
    expect(ranges.map(text)).toEqual(['a-b', 'c-d']);
    expect(tikv.requests.map(({ message }) => message.subRanges)).toEqual([[], []]);
    const old = new FakeTikv(['b', 'd', 'f']);
    const answer = old.answer.bind(old);
    old.answer = (store, message, signal) => answer(store, { ...message, subRanges: [] }, signal);
    await expect(gather(old, {}, request)).rejects.toMatchObject({
      code: 'ADAPTER_CONTRACT',
      message: expect.stringMatching(/more than it was asked for.*useSubRanges/) as string,
    });
  });

  it.each([
    ['no keys', { startKey: utf8('b'), endKey: utf8('b') }],
    ['backwards', { startKey: utf8('c'), endKey: utf8('b') }],
    ['outside', { startKey: utf8('b'), endKey: utf8('') }],
    ['a file of another time', { startKey: utf8('b'), endKey: utf8('c'), files: [{ endVersion: 99n }] }],
    ['a file of another begin', { startKey: utf8('b'), endKey: utf8('c'), files: [{ startVersion: 3n }] }],
    ['a file elsewhere', { startKey: utf8('b'), endKey: utf8('c'), files: [{ name: '../x.sst' }] }],
    ['a file without a hash', { startKey: utf8('b'), endKey: utf8('c'), files: [{ sha256: new Uint8Array(0) }] }],
  ])('believes no answer that makes no sense: %s', async (_name, answer) => {
    const tikv = new FakeTikv([]);
    const request = builder.range(utf8('a'), utf8('d')).build();
    const store = {
      name: 'liar',
      async *backup() {
        await Promise.resolve();
        const [region] = tikv.regions;
        if (region === undefined) return;
        const { files = [], ...range } = answer as typeof answer & { files?: object[] };
        const file = tikv.file(0, region, range, request.toMessage());
        yield { ...range, files: files.map((change) => ({ ...file, ...change })), apiVersion: 'v1' as const };
      },
    };
    await expect(gatherBackup(request, [store], { clock: new HastyClock() })).rejects.toMatchObject({
      code: 'ADAPTER_CONTRACT',
    });
  });

  it('believes no files that a store did not encrypt, or encoded otherwise than it was asked', async () => {
    const tikv = new FakeTikv([]);
    const clock = new HastyClock();
    const old: BackupStore = {
      name: 'old',
      async *backup(message, signal) {
        for await (const answer of tikv.stores()[0]?.backup(message, signal) ?? []) {
          yield { ...answer, files: answer.files.map((file) => ({ ...file, cipherIv: new Uint8Array(0) })) };
        }
      },
    };
    const encrypted = builder.range(utf8(''), utf8('')).cipher({ method: 'aes128-ctr', key: new Uint8Array(16) });
    await expect(gatherBackup(encrypted.build(), [old], { clock })).rejects.toMatchObject({
      code: 'ADAPTER_CONTRACT',
      message: expect.stringContaining('did not encrypt') as string,
    });
    // As a store does that does not know of it.
    const base = new BackupRequestBuilder().clusterId(7n).storage('local:///backup').range(utf8(''), utf8(''));
    await expect(gatherBackup(base.raw().apiVersion('v2').build(), tikv.stores(), { clock })).rejects.toMatchObject({
      code: 'ADAPTER_CONTRACT',
      message: expect.stringContaining('API version v1, it was asked for v2') as string,
    });
    await expect(gatherBackup(base.raw().build(), tikv.stores(), { clock })).resolves.toBeDefined();
  });

  it('ends with the signal, and leaves no timer', async () => {
    const controller = new AbortController();
    const clock = new HastyClock();
    const tikv = new FakeTikv(['b'], 2);
    tikv.fault = ({ store }) => {
      if (store === 1) controller.abort(new Error('enough'));
      return 'silence';
    };
    await expect(gather(tikv, { clock, signal: controller.signal })).rejects.toThrow('enough');
    await nextTurns();
    expect(clock.pending).toBe(0);
  });

  it('keeps one answer of several for a region, and counts no file twice', async () => {
    const tikv = new FakeTikv(['b', 'd'], 2);
    const [first, second] = tikv.stores();
    if (first === undefined || second === undefined) throw new Error('two stores');
    // As with replica reads: both answer for everything.
    tikv.regions.forEach((one) => (one.leader = 0));
    const both = [first, { ...first, name: 'follower' }];
    const { ranges, files } = await gatherBackup(whole, both, { clock: new HastyClock() });
    expect(ranges.map(text)).toEqual(['-b', 'b-d', 'd-']);
    expect(files).toHaveLength(3);
    expect(new Set(files.map(({ name }) => name)).size).toBe(3);
  });

  it('covers any request, whatever regions split, merge, move and fail in the meantime', async () => {
    const letters = 'abcdefghij';
    const key = fc.constantFrom(...Array.from(letters));
    const boundaries = fc.uniqueArray(key, { maxLength: 6 }).map((keys) => keys.sort());
    await fc.assert(
      fc.asyncProperty(
        boundaries,
        boundaries,
        fc.integer({ min: 1, max: 3 }),
        fc.nat(),
        fc.array(fc.nat(9), { maxLength: 60 }),
        async (before, ends, stores, moves, luck) => {
          const tikv = new FakeTikv(before, stores);
          const pairs = ends.length < 2 ? ['', ''] : ends;
          let request = builder;
          for (let i = 0; i + 1 < pairs.length; i += 2)
            request = request.range(utf8(pairs[i] ?? ''), utf8(pairs[i + 1] ?? ''));
          const built = request.build();
          let draws = 0;
          tikv.fault = () => {
            const draw = luck[draws++] ?? 0;
            if (draw === 9) {
              const cuts = Array.from(letters).filter((_, i) => ((moves >> i) & 1) === draws % 2);
              tikv.regions = new FakeTikv(cuts, stores).regions;
            }
            if (draw === 8) tikv.regions.forEach((one) => (one.leader = ((one.leader ?? 0) + 1) % stores));
            if (draw === 7) return { error: region({ notLeader: {} }) };
            if (draw === 6) return { cut: new BackupError('TIKV_UNAVAILABLE', 'cut', { retryable: true }) };
            return draw === 5 ? 'skip' : undefined;
          };
          const { ranges, files } = await gather(tikv, { maxAttempts: 100 }, built);
          expectCovered(ranges, built.facts.ranges);
          expect(files).toEqual(ranges.flatMap((range) => range.files));
          for (const { startKey, endKey, files: own } of ranges) {
            expect(own.map((file) => text(file))).toEqual([text({ startKey, endKey })]);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('answered ranges', () => {
  it('are kept as the last answer for every key says, with what was cut off missing', () => {
    const point = fc.integer({ min: 0, max: 40 });
    const one = fc.tuple(point, point).map(([a, b]) => [Math.min(a, b), Math.max(a, b) + 1] as const);
    const key = (n: number) => Uint8Array.of(n);
    fc.assert(
      fc.property(fc.array(one, { maxLength: 60 }), (puts) => {
        const answers = new AnsweredRanges();
        let model: (readonly [number, number, number])[] = [];
        puts.forEach(([from, to], i) => {
          answers.put({ startKey: key(from), endKey: to > 40 ? key(0).subarray(1) : key(to), files: [] });
          model = [...model.filter(([a, b]) => b <= from || to <= a), [from, to, i] as const].sort(
            (a, b) => a[0] - b[0],
          );
        });
        expect([...answers.ranges()].map(({ startKey }) => startKey[0])).toEqual(model.map(([from]) => from));
        expect(answers.size).toBe(model.length);
        const covered = (n: number) => model.some(([a, b]) => a <= n && n < b);
        const missing = answers.missing([{ startKey: key(0), endKey: key(41) }]);
        const isMissing = (n: number) =>
          missing.some(
            ({ startKey, endKey }) => compareBytes(startKey, key(n)) <= 0 && compareBytes(key(n), endKey) < 0,
          );
        for (let n = 0; n < 41; n++) expect(isMissing(n)).toBe(!covered(n));
      }),
    );
  });

  it('are many: found, replaced and listed in key order', () => {
    const key = (n: number) => Uint8Array.of(n >> 8, n & 255);
    const answers = new AnsweredRanges();
    for (let i = 0; i < 5000; i++) {
      const n = (i * 7919) % 5000;
      expect(answers.put({ startKey: key(n), endKey: key(n + 1), files: [] })).toBe(0);
    }
    expect(answers.size).toBe(5000);
    expect(answers.put({ startKey: key(10), endKey: key(4000), files: [] })).toBe(3990);
    expect(answers.missing([{ startKey: key(0), endKey: key(5001) }]).map(({ startKey }) => startKey)).toEqual([
      key(5000),
    ]);
    const starts = [...answers.ranges()].map(({ startKey }) => ((startKey[0] ?? 0) << 8) + (startKey[1] ?? 0));
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
  });

  it('drop the older of two answers whose files share a name and differ', () => {
    const tikv = new FakeTikv(['b']);
    const [one, two] = tikv.regions;
    if (one === undefined || two === undefined) throw new Error('two regions');
    const file = tikv.file(0, one, one, {});
    const answers = new AnsweredRanges();
    expect(answers.put({ ...one, files: [file] })).toBe(0);
    expect(answers.put({ ...two, files: [{ ...file, size: 2n }] })).toBe(1);
    expect([...answers.ranges()].map(text)).toEqual(['b-']);
    expect(answers.put({ ...one, files: [{ ...file, size: 2n }] })).toBe(0);
    expect(answers.files()).toHaveLength(1);
  });
});

async function nextTurns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}
