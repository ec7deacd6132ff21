// Hostile JSON of good JSON: members that are missing, doubled, renamed or of another type, numbers that no float64 holds, strings that are no text, lists in lists in lists.

import type { SimRandom } from '../../src/testing/simulation/random.js';

/** JSON as it is written: members in order, any number of them with the same name, and tokens that JSON.stringify would not write. */
type Node = { list: Node[] } | { members: [name: string, value: Node][] } | { token: string };

const TOKENS = [
  'null',
  'true',
  'false',
  '0',
  '-0',
  '-1',
  '1',
  '0.5',
  '1e3',
  '1E+2',
  '1e400',
  '-1e400',
  '1e-400',
  '2147483648',
  '4294967296',
  '9007199254740991',
  '9007199254740993',
  '9223372036854775807',
  '9223372036854775808',
  '18446744073709551616',
  `1${'0'.repeat(400)}`,
  '""',
  '"0"',
  '"-1"',
  '"1.5"',
  '"1e3"',
  '" 1"',
  '"00000000000000000007"',
  '"9223372036854775807"',
  '"9223372036854775808"',
  '"9999999999999999999"',
  '"99999999999999999999"',
  '"zz"',
  '"0g"',
  '"0"',
  '"ABCDEF"',
  '"\\u0000"',
  '"\\ud800"',
  '"\\udfff\\ud800"',
  '"\\u1234"',
  '"\\u00ff"',
  '"__proto__"',
  '[]',
  '{}',
  '[[]]',
  '{"__proto__":1}',
  '{"length":3}',
  '[null]',
  '["00","01"]',
  '["01","00"]',
  '["00","00"]',
];
const NAMES = [
  '__proto__',
  'constructor',
  'toString',
  'length',
  '',
  '0',
  '\\ud800',
  '\\u0000',
  'check',
  'hasOwnProperty',
];

const DEPTHS = [2, 100, 5000];

/** undefined: `text` is no JSON, so there is nothing to take hold of. */
export function mutateJson(text: string, random: SimRandom): string | undefined {
  const root = parse(text);
  if (root === undefined) return undefined;
  const holder: { list: Node[] } = { list: [root] };
  for (let left = random.chance(0.6) ? 1 : random.int(2, 5); left > 0; left--) mutateOne(holder, random);
  return holder.list.map(write).join(random.pick(['', ' ', ',']));
}

/** A million brackets, digits or letters. */
export function hugeJson(random: SimRandom): string {
  const count = random.pick([100_000, 1_000_000]);
  switch (random.int(0, 5)) {
    case 0:
      return '['.repeat(count);
    case 1:
      return '['.repeat(count) + ']'.repeat(count);
    case 2:
      return '{"a":'.repeat(count) + '1' + '}'.repeat(count);
    case 3:
      return '1'.repeat(count);
    case 4:
      return `"${'a'.repeat(count)}"`;
    default:
      return `[${'0,'.repeat(count)}0]`;
  }
}

/** A member of `text`, or its whole, in place of which something huge stands. */
export function withHuge(text: string, random: SimRandom): string {
  const root = parse(text);
  if (root === undefined || random.chance(0.2)) return hugeJson(random);
  const holder: { list: Node[] } = { list: [root] };
  const slot = pickSlot(holder, random);
  slot?.put({ token: hugeJson(random) });
  return holder.list.map(write).join('');
}

function parse(text: string): Node | undefined {
  try {
    return nodeOf(JSON.parse(text) as unknown);
  } catch {
    // Cut or otherwise no JSON any more: mutations of bytes go on with it.
    return undefined;
  }
}

/** Deeper ones are cut off: they are walked by recursion. */
const MAX_DEPTH = 200;

function nodeOf(value: unknown, depth = 0): Node {
  if (depth > MAX_DEPTH) return { token: '0' };
  if (Array.isArray(value)) return { list: value.map((item) => nodeOf(item, depth + 1)) };
  if (typeof value === 'object' && value !== null) {
    return {
      members: Object.entries(value).map(([name, member]) => [
        JSON.stringify(name).slice(1, -1),
        nodeOf(member, depth + 1),
      ]),
    };
  }
  return { token: JSON.stringify(value) };
}

function write(node: Node): string {
  if ('token' in node) return node.token;
  if ('list' in node) return `[${node.list.map(write).join(',')}]`;
  return `{${node.members.map(([name, value]) => `"${name}":${write(value)}`).join(',')}}`;
}

interface Slot {
  readonly value: Node;
  put(node: Node): void;
  remove(): void;
  double(): void;
  rename(name: string): void;
}

/** Any value in the tree, by a walk that stops at each with some chance. */
function pickSlot(root: { list: Node[] }, random: SimRandom): Slot | undefined {
  let node: Node = root;
  for (;;) {
    const slot = slotIn(node, random);
    if (slot === undefined) return undefined;
    const below = slot.value;
    const isLeaf = 'token' in below || ('list' in below ? below.list.length : below.members.length) === 0;
    if (isLeaf || random.chance(0.25)) return slot;
    node = below;
  }
}

function slotIn(node: Node, random: SimRandom): Slot | undefined {
  if ('list' in node) {
    const { list } = node;
    const i = list.length === 0 ? -1 : random.int(0, list.length - 1);
    const value = list[i];
    if (value === undefined) return undefined;
    return {
      value,
      put: (next) => (list[i] = next),
      remove: () => list.splice(i, 1),
      double: () => list.splice(i, 0, value),
      rename: () => undefined,
    };
  }
  if ('token' in node || node.members.length === 0) return undefined;
  const { members } = node;
  const i = random.int(0, members.length - 1);
  const member = members[i] as [string, Node];
  return {
    value: member[1],
    put: (next) => (member[1] = next),
    remove: () => members.splice(i, 1),
    double: () => members.splice(random.int(0, members.length), 0, [member[0], { token: random.pick(TOKENS) }]),
    rename: (name) => (member[0] = name),
  };
}

function mutateOne(root: { list: Node[] }, random: SimRandom): void {
  const slot = pickSlot(root, random);
  if (slot === undefined) return;
  switch (random.int(0, 9)) {
    case 0:
      return slot.remove();
    case 1:
      return slot.double();
    case 2:
      return slot.rename(random.pick(NAMES));
    case 3:
      return slot.put({ list: [slot.value] });
    case 4: {
      const depth = random.pick(DEPTHS);
      return slot.put({ token: '['.repeat(depth) + ']'.repeat(depth) });
    }
    case 5: {
      const other = pickSlot(root, random);
      // A copy: it may hold the very place that it is put into.
      return slot.put(other === undefined ? { token: '0' } : structuredClone(other.value));
    }
    case 6:
      return slot.put({ token: `"${'ab'.repeat(random.pick([16, 5000]))}"` });
    default:
      return slot.put({ token: random.pick(TOKENS) });
  }
}
