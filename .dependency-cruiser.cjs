// The floors of the house (docs/concepts.md): a file imports its own folder and the floors below it, never a neighbour and never upwards.
// Types count: an interface that is only imported as a type ties two folders together all the same.

/** Lowest first. Folders of one entry share a floor and do not know each other. */
const floors = [
  ['core'],
  ['ports', 'format', 'schedule', 'etcd'],
  ['pipeline', 'job', 'snapshot', 'restore', 'container', 'progress', 'source', 'testing'],
  ['worker', 'br'],
  ['testing/simulation'],
];

/** What the library may need at run time; package.json's `dependencies` say the same. */
const runtimePackages = ['async-mutex', 'eventemitter3', 'p-queue', 'tslib'];

/** Packages that a host installs for one part of the library: each is used in one place alone, which the main face must not reach. */
const optionalPeers = [
  { name: 'hash-wasm', user: '^src/(container/encrypted-xxh3|format/sst/xxh)\\.ts$' },
  { name: '@aws-sdk/client-s3', user: '^src/container/s3/' },
  { name: 'etcd3', user: '^src/(etcd|progress/etcd|source/etcd)/' },
  { name: '@toondepauw/node-zstd', user: '^src/format/sst/codecs/zstd\\.ts$' },
  { name: 'lz4-napi', user: '^src/format/sst/codecs/lz4\\.ts$' },
  { name: 'snappy', user: '^src/format/sst/codecs/snappy\\.ts$' },
  { name: '@node-rs/crc32', user: '^src/format/sst/native-crc32c\\.ts$' },
  { name: '@bufbuild/protobuf', user: '^src/format/br/proto/' },
  { name: '@grpc/grpc-js', user: '^src/br/grpc/' },
  { name: 'piscina', user: '^src/br/threads/' },
];
const optionalUsers = optionalPeers.map(({ user }) => user);
/** Faces of their own: subpaths of the package. */
const subpaths = '^src/(container/encrypted-|container/s3/|etcd/|progress/etcd/|source/|format/(sst|br)/|br/)';

/** The faces: nothing but re-exports, so nothing imports them. */
const faces = '^src/(testing/|container/s3/|progress/etcd/|source/etcd/|br/)?index\\.ts$';

const insideOf = (folder) =>
  folder === 'testing' ? '^src/testing/(?!simulation/|index\\.ts$)' : `^src/${folder.replace('/', '\\/')}/`;

const below = (floor) => floors.slice(0, floor).flat();

const floorRules = floors.flatMap((folders, floor) =>
  folders.map((folder) => ({
    name: `floor-${floor + 1}-${folder.replace('/', '-')}`,
    comment: `src/${folder} (floor ${floor + 1}) may import itself and ${below(floor).join(', ') || 'nothing else'}`,
    severity: 'error',
    from: { path: insideOf(folder) },
    to: { path: '^src/', pathNot: [folder, ...below(floor)].map(insideOf) },
  })),
);

module.exports = {
  forbidden: [
    ...floorRules,
    {
      name: 'every-file-has-a-floor',
      comment: 'a new folder of src needs a place in `floors` above, and a row in docs/concepts.md',
      severity: 'error',
      from: { path: '^src/', pathNot: [...floors.flat().map(insideOf), faces] },
      to: {},
    },
    {
      name: 'faces-are-not-imported',
      comment:
        'src/index.ts and src/testing/index.ts are for users of the package; inside, import the file that you mean',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: faces },
    },
    {
      name: 'main-face-without-testing',
      comment: "import 'tidemark' loads no test code: that is what tidemark/testing is for",
      severity: 'error',
      from: { path: '^src/index\\.ts$' },
      to: { path: '^src/testing/' },
    },
    {
      name: 'main-face-without-optional-packages',
      comment:
        "import 'tidemark' loads nothing that needs a package of the host's: that is what the subpaths are for. A dynamic import loads nothing before it is wanted",
      severity: 'error',
      from: { path: '^src/', pathNot: subpaths },
      to: { path: subpaths, dynamic: false },
    },
    {
      name: 'no-cycles',
      comment: 'a file that cannot be read without itself, be it for a type, cannot be understood alone',
      severity: 'error',
      from: { path: '^src/' },
      to: { circular: true },
    },
    {
      name: 'src-stays-in-src',
      comment: 'the library knows nothing of its tests, examples and build output',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(?!src/|(\\.\\./)*node_modules/)', couldNotResolve: false, dependencyTypesNot: ['core'] },
    },
    {
      name: 'runtime-packages-only',
      comment: `at run time the library needs ${runtimePackages.join(', ')} and nothing else`,
      severity: 'error',
      from: { path: '^src/', pathNot: optionalUsers },
      to: { path: 'node_modules/', pathNot: `node_modules/(${runtimePackages.join('|')})/` },
    },
    ...optionalPeers.map(({ name, user }) => ({
      name: `optional-${name}-only`,
      comment: `the file that loads ${name} loads no other package but those of the library`,
      severity: 'error',
      from: { path: user },
      to: { path: 'node_modules/', pathNot: `node_modules/(${[...runtimePackages, name].join('|')})/` },
    })),
    {
      name: 'no-dev-dependencies',
      severity: 'error',
      from: { path: '^src/', pathNot: optionalUsers },
      to: {
        dependencyTypes: [
          'npm-dev',
          'npm-optional',
          'npm-peer',
          'npm-bundled',
          'npm-no-pkg',
          'npm-unknown',
          'deprecated',
        ],
      },
    },
    { name: 'resolvable', severity: 'error', from: { path: '^src/' }, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    detectProcessBuiltinModuleCalls: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
