// Lint with type information: what a compiler cannot see (floating promises, forgotten cases) and the house rules that a machine can check.
// Layout is prettier's, imports between floors are dependency-cruiser's.

import { builtinModules } from 'node:module';
import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

const clockOnly =
  'time and randomness come through Clock and Random (src/core/clock.ts), so that a simulation can own them';

/** Built-in modules by their bare names: a package could take their place. */
const bareBuiltins = builtinModules
  .filter((name) => !name.startsWith('node:') && !name.startsWith('_'))
  .map((name) => ({ name, message: `write node:${name}` }));

const restrictedSyntax = [
  {
    selector: 'TSAsExpression > TSAsExpression > TSUnknownKeyword',
    message: '`as unknown as` silences the compiler; narrow the type instead',
  },
  {
    selector: ':matches(PropertyDefinition, MethodDefinition[kind!="constructor"])[accessibility="private"]',
    message: 'use #private members: they are private at run time too',
  },
];

export default defineConfig(
  globalIgnores(['dist/', 'docs/api/', 'coverage/', '.tmp/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/consistent-type-exports': 'error',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/ban-ts-comment': ['error', { 'ts-expect-error': 'allow-with-description' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      '@typescript-eslint/only-throw-error': ['error', { allowRethrowing: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'no-restricted-syntax': ['error', ...restrictedSyntax],
      'no-restricted-imports': ['error', { paths: bareBuiltins }],
      'no-empty': ['error', { allowEmptyCatch: false }],
      eqeqeq: 'error',
      'no-promise-executor-return': 'off',

      // Indexing typed arrays is checked by bounds that the compiler does not see: `x[i] as number` and `x!` are house style, and so are index loops.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/non-nullable-type-assertion-style': 'off',
      '@typescript-eslint/prefer-for-of': 'off',
      // State that changes across an await (signal.aborted, a queue's length) looks constant to this rule.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // `async` without an await is how an in-memory adapter keeps a port's contract: it rejects rather than throws.
      '@typescript-eslint/require-await': 'off',
      // A generic that only the result uses is the shape of `transact<T>` and of decoders.
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      // Options are checked where they enter: a caller without a compiler may pass what the type rules out.
      '@typescript-eslint/no-unnecessary-type-conversion': 'off',
      '@typescript-eslint/class-literal-property-style': 'off',
      '@typescript-eslint/consistent-type-definitions': 'off',
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      'no-console': 'error',
      'max-lines': ['warn', { max: 400 }],
      'no-restricted-globals': [
        'error',
        ...['setTimeout', 'setInterval', 'setImmediate', 'performance'].map((name) => ({ name, message: clockOnly })),
        {
          name: 'process',
          message: 'the library reads no environment and touches no process: what it needs is injected',
        },
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: clockOnly },
        { object: 'Math', property: 'random', message: clockOnly },
      ],
      'no-restricted-imports': [
        'error',
        {
          paths: [
            ...bareBuiltins,
            { name: 'node:timers', message: clockOnly },
            { name: 'node:timers/promises', message: clockOnly },
            { name: 'node:crypto', importNames: ['randomBytes', 'randomUUID', 'randomInt'], message: clockOnly },
          ],
        },
      ],
      'no-restricted-syntax': [
        'error',
        ...restrictedSyntax,
        { selector: 'NewExpression[callee.name="Date"][arguments.length=0]', message: clockOnly },
      ],
    },
  },
  {
    // Where the real clock and the real dice are, and the clock of tests, which lets real I/O settle.
    files: ['src/core/clock.ts', 'src/testing/manual-clock.ts'],
    rules: { 'no-restricted-globals': 'off', 'no-restricted-properties': 'off', 'no-restricted-imports': 'off' },
  },
  {
    files: ['test/**/*.ts', 'examples/**/*.ts', '*.config.ts'],
    rules: {
      // `expect(fake.method)` is no call.
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-empty-function': 'off',
    },
  },
  {
    files: ['**/*.{js,cjs,mjs}'],
    languageOptions: {
      globals: { module: 'writable', require: 'readonly', process: 'readonly', console: 'readonly', URL: 'readonly' },
    },
  },
);
