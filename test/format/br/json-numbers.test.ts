import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseExactJson } from '../../../src/format/br/json-numbers.js';

/** The number at `n` as it stood in the text, whether JSON.parse may have it or not. */
function digitsOf(text: string): string {
  const { value, mark } = parseExactJson(text);
  const { n } = value as { n: unknown };
  return typeof n === 'string' && n.startsWith(mark) ? n.slice(mark.length) : String(n);
}

describe('JSON with all digits', () => {
  it.each([
    '0',
    '-1',
    '999999999999999',
    '9007199254740993',
    '-9223372036854775808',
    '1.5',
    '1e400',
    '12345678901234567.25',
  ])('keeps %s', (number) => {
    expect(digitsOf(`{"n":${number}}`)).toBe(number);
    expect(digitsOf(`{"a":[${number},"${number}"], "n" : ${number} }`)).toBe(number);
  });

  it('does not take a string for a number, whatever is in it', () => {
    for (let code = 0; code < 0x20; code++) {
      const text = `${String.fromCharCode(code)}12345678901234567890`;
      const { value, mark } = parseExactJson(JSON.stringify({ [text]: text, n: 0 }));
      expect((value as Record<string, unknown>)[text]).toBe(text);
      expect(text.startsWith(mark)).toBe(false);
    }
  });

  it.each([
    '{12345678901234567890:1}',
    '{12345678901234567890 :1}',
    '[01234567890123456789]',
    '[12345678901234567890.]',
    '[1.2.3]',
    '[--1]',
    '[+1]',
    '[1 2]',
    '["a"12345678901234567890]',
    '"12345678901234567890',
    '',
  ])('refuses %s, which is no JSON', (text) => {
    expect(() => JSON.parse(text) as unknown).toThrow();
    expect(() => parseExactJson(text)).toThrow(SyntaxError);
  });

  it('is JSON.parse for everything else', () => {
    const withoutFractions = fc.jsonValue({ noUnicodeString: false }).map((value) => JSON.stringify(value));
    fc.assert(
      fc.property(withoutFractions, (text) => {
        const { value, mark } = parseExactJson(text);
        const numbers = (_key: string, one: unknown) =>
          typeof one === 'string' && one.startsWith(mark) ? Number(one.slice(mark.length)) : one;
        expect(JSON.stringify(value, numbers)).toBe(JSON.stringify(JSON.parse(text)));
      }),
    );
  });
});
