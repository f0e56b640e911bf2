/** Tests run from the sources; the processes that the end-to-end tests start run from `dist`. */
export default {
  testMatch: ['**/test/**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  modulePathIgnorePatterns: ['/dist/', '/.sluice/'],
  globalSetup: '<rootDir>/scripts/jest-global-setup.js',
  globalTeardown: '<rootDir>/scripts/jest-global-teardown.js',
  maxWorkers: 2,
  testTimeout: 30_000,
  setupFilesAfterEnv: ['<rootDir>/scripts/jest-limits.js'],
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    '^@sluice/([^/]+)/testing$': '<rootDir>/libs/$1/src/testing/index.ts',
    '^@sluice/([^/]+)$': ['<rootDir>/libs/$1/src/index.ts', '<rootDir>/apps/$1/src/index.ts'],
  },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          transform: { decoratorVersion: '2022-03' },
        },
        module: { type: 'es6' },
      },
    ],
  },
}
