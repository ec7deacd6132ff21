// The processes of this test are started a hundred times and more: they run plain JavaScript, made once, instead of being translated at every start.

import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));
const SOURCES = ['src', 'examples/level-host', 'test/torture'];

/** Makes `folder` a copy of the repository as far as these processes need it: a package of its own by the same name, so that `import 'tidemark'` finds the copy. */
export async function compile(folder: string): Promise<void> {
  for (const source of SOURCES) {
    for (const name of await readdir(join(REPOSITORY, source), { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.ts')) continue;
      const from = join(REPOSITORY, source, name);
      const to = join(folder, source, name.replace(/\.ts$/, '.js'));
      await mkdir(dirname(to), { recursive: true });
      await writeFile(to, translate(await readFile(from, 'utf8'), from));
    }
  }
  const exports = { '.': './src/index.js', './testing': './src/testing/index.js' };
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'tidemark', type: 'module', exports }));
  await symlink(join(REPOSITORY, 'node_modules'), join(folder, 'node_modules'));
}

function translate(text: string, fileName: string): string {
  const compilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
    importHelpers: true,
    inlineSourceMap: true,
  };
  return ts.transpileModule(text, { fileName, compilerOptions }).outputText;
}
