import eslint from '@eslint/js'
import prettier from 'eslint-config-prettier'
import jest from 'eslint-plugin-jest'
import tseslint from 'typescript-eslint'

const ambient = [
  { name: 'Date', message: 'Take a Clock; only clock.ts touches the real one.' },
  { name: 'setTimeout', message: 'The core has no timers; time reaches it as ticks.' },
  { name: 'setInterval', message: 'The core has no timers; time reaches it as ticks.' },
  { name: 'process', message: 'The core touches nothing.' },
  { name: 'Promise', message: 'The core is synchronous.' },
]

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', '.sluice/**', '**/*.cjs'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: {
        project: [
          './libs/*/tsconfig.json',
          './libs/raft/{bench,examples,mutants}/tsconfig.json',
          './apps/*/tsconfig.json',
          './e2e/tsconfig.json',
          './loadtest/tsconfig.json',
          './tsconfig.test.json',
        ],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      // With noUncheckedIndexedAccess every array read needs a word; `!` is it where an invariant bounds the index.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Math', property: 'random', message: 'Take a Random.' },
      ],
      eqeqeq: 'error',
    },
  },
  {
    files: ['libs/foundation/src/random.ts'],
    rules: { 'no-restricted-properties': 'off' },
  },
  {
    files: ['libs/raft/src/core/**/*.ts', 'libs/partition/src/**/*.ts', 'libs/metadata/src/**/*.ts'],
    rules: { 'no-restricted-globals': ['error', ...ambient] },
  },
  {
    files: ['**/test/**/*.ts'],
    extends: [jest.configs['flat/recommended']],
    rules: {
      'jest/no-disabled-tests': 'error',
      'jest/no-focused-tests': 'error',
      'jest/expect-expect': 'off',
      'jest/no-standalone-expect': 'off',
      'jest/no-conditional-expect': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
    },
  },
  {
    files: ['**/*.js'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly' } },
  },
  prettier,
)
