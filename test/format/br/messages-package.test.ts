import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { run } from '../../servers/judges.js';

const HOST = fileURLToPath(new URL('./fixtures/without-protobuf.ts', import.meta.url));

it('without the package for protobuf the library says what to install', async () => {
  const said = await run(process.execPath, ['--import', 'tsx', HOST]);
  expect(said.toString()).toBe(
    "PACKAGE_MISSING: the messages of TiKV's backup protocol need the package @bufbuild/protobuf: npm install @bufbuild/protobuf",
  );
}, 60_000);
