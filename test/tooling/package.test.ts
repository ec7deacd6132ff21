// What package.json promises to those who install the package.

import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { readText, repositoryUrl } from './source-facts.js';

interface PackageJson {
  readonly type: string;
  readonly sideEffects: boolean;
  readonly engines: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>;
  readonly scripts: Readonly<Record<string, string>>;
}

const manifest = JSON.parse(readText('package.json')) as PackageJson;

function sourceFiles(): string[] {
  const entries = readdirSync(fileURLToPath(new URL('src/', repositoryUrl)), { recursive: true, encoding: 'utf8' });
  return entries.filter((name) => name.endsWith('.ts')).map((name) => `src/${name}`);
}

describe('package.json', () => {
  it('depends on exactly four packages at run time', () => {
    expect(Object.keys(manifest.dependencies).sort()).toEqual(['async-mutex', 'eventemitter3', 'p-queue', 'tslib']);
  });

  it('has packages that a host installs only for what needs them, each of the version that the tests use, or newer', () => {
    expect(manifest.peerDependencies).toEqual({
      '@aws-sdk/client-s3': '^3.1169.0',
      '@bufbuild/protobuf': '^2.17.0',
      '@grpc/grpc-js': '^1.14.7',
      '@node-rs/crc32': '^1.10.8',
      '@toondepauw/node-zstd': '^1.2.0',
      etcd3: '^1.1.2',
      'hash-wasm': '^4.12.0',
      'lz4-napi': '^2.10.0',
      piscina: '^5.3.2',
      snappy: '^7.4.3',
    });
    for (const name of Object.keys(manifest.peerDependencies)) {
      expect(manifest.peerDependenciesMeta[name], name).toEqual({ optional: true });
      expect(manifest.peerDependencies[name], name).toBe(`^${manifest.devDependencies[name]}`);
    }
  });

  it('depends on nothing that the compiled library does not import', () => {
    const { options } = ts.parseJsonConfigFileContent(
      ts.parseConfigFileTextToJson('', readText('tsconfig.json')).config,
      ts.sys,
      '.',
    );
    const compiled = sourceFiles().map(
      (file) =>
        ts.transpileModule(readText(file), {
          compilerOptions: { ...options, module: ts.ModuleKind.ESNext, sourceMap: false },
        }).outputText,
    );
    const imports = new Set(
      compiled.flatMap((code) => Array.from(code.matchAll(/from ['"]([^'"]+)['"]/g), (match) => match[1])),
    );
    expect(Object.keys(manifest.dependencies).filter((name) => !imports.has(name))).toEqual([]);
  });

  it('has a p-queue that still runs on Node 20', () => {
    expect(manifest.dependencies['p-queue']).toMatch(/^9\./);
    expect(manifest.engines['node']).toBe('>=20');
  });

  it('offers the library, its test tools and what needs more packages, as ES modules with types', () => {
    expect(manifest.type).toBe('module');
    expect(manifest.sideEffects).toBe(false);
    expect(manifest.exports).toMatchObject({
      '.': { types: './dist/index.d.ts', default: './dist/index.js' },
      './testing': { types: './dist/testing/index.d.ts', default: './dist/testing/index.js' },
      './container/encrypted': {
        types: './dist/container/encrypted-container.d.ts',
        default: './dist/container/encrypted-container.js',
      },
    });
  });
});
