import { describe, expect, it } from 'vitest';
import { KeyRewriter } from '../../src/restore/key-rewriter.js';

const bytes = (text: string) => Buffer.from(text, 'latin1');
const plain = (key: Uint8Array) => Buffer.from(key).toString('latin1');
const range = (begin: string, end: string) => ({ begin: bytes(begin), end: bytes(end) });
const show = (ranges: readonly { begin: Uint8Array; end: Uint8Array }[] | undefined) =>
  ranges?.map(({ begin, end }) => [plain(begin), plain(end)]);

function rewriter(removePrefix: string | undefined, addPrefix: string | undefined): KeyRewriter {
  return new KeyRewriter({
    removePrefix: removePrefix === undefined ? undefined : bytes(removePrefix),
    addPrefix: addPrefix === undefined ? undefined : bytes(addPrefix),
  });
}

describe('KeyRewriter', () => {
  it('leaves everything as it is without prefixes, or with empty ones', () => {
    for (const none of [rewriter(undefined, undefined), rewriter('', '')]) {
      expect(none.changes).toBe(false);
      expect(none.limit(undefined)).toBeUndefined();
      expect(plain(none.key(bytes('a')))).toBe('a');
      expect(show([none.range(range('a', '\xff'))])).toEqual([['a', '\xff']]);
    }
  });

  it('adds: the whole key space moves under the prefix', () => {
    const add = rewriter(undefined, 'p/');
    expect(add.limit(undefined)).toBeUndefined();
    expect(plain(add.key(bytes('')))).toBe('p/');
    expect(show([add.range(range('', '\xff'))])).toEqual([['p/', 'p/\xff']]);
  });

  it('removes: what has not the prefix is left out, and so is what would lie beyond the normal keys', () => {
    const remove = rewriter('p/', undefined);
    expect(show(remove.limit(undefined))).toEqual([['p/', 'p/\xff']]);
    expect(plain(remove.key(bytes('p/a')))).toBe('a');
    expect(plain(remove.key(bytes('p/')))).toBe('');
    expect(show([remove.range(range('p/', 'p/\xff'))])).toEqual([['', '\xff']]);
    expect(show([remove.range(range('p/a', 'p/b'))])).toEqual([['a', 'b']]);
  });

  it('removes, then adds: the end of one prefix becomes the end of the other', () => {
    const both = rewriter('p\xff', 'z');
    expect(show(both.limit(undefined))).toEqual([['p\xff', 'q']]);
    expect(plain(both.key(bytes('p\xffa')))).toBe('za');
    expect(show([both.range(range('p\xff', 'q'))])).toEqual([['z', '{']]);
    expect(show([both.range(range('p\xffa', 'p\xffb'))])).toEqual([['za', 'zb']]);
  });

  it.each([
    ['p/', undefined, range('o', 'p/a')],
    ['p/', undefined, range('p/a', 'p0')],
    ['p/', 'z', range('p/a', 'p1')],
    ['p/', 'z', range('a', 'b')],
  ])('refuses ranges that go beyond the prefix (%#)', (remove, add, wanted) => {
    const strict = rewriter(remove, add);
    expect(() => strict.limit([wanted])).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }) as Error);
    expect(show(strict.limit([range('p/a', 'p/b')]))).toEqual([['p/a', 'p/b']]);
  });

  it('refuses prefixes of the keys that are not the user’s, and what is no prefix', () => {
    expect(() => rewriter('\xffx', undefined)).toThrow(/removePrefix must not begin with 0xFF/);
    expect(() => rewriter(undefined, '\xff')).toThrow(/addPrefix must not begin with 0xFF/);
    expect(() => new KeyRewriter({ addPrefix: 'text' as never })).toThrow(/addPrefix must be a Uint8Array/);
  });
});
