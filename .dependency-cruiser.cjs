/** One direction of imports: apps → client, contracts, service, persistence → partition, metadata → raft, rpc, domain → foundation. */
const lib = (names) => `^libs/(${names.join('|')})/`
const below = {
  foundation: [],
  domain: ['foundation'],
  raft: ['foundation'],
  rpc: ['foundation'],
  postgres: ['foundation'],
  partition: ['foundation', 'domain'],
  metadata: ['foundation', 'domain'],
  contracts: ['foundation', 'domain'],
  service: ['foundation', 'domain', 'contracts'],
  persistence: ['foundation', 'domain', 'partition', 'metadata'],
  client: ['foundation', 'domain', 'rpc', 'partition', 'metadata', 'contracts'],
}
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'A cycle is a missing module; cycles of types count.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'apps-never-import-apps',
      severity: 'error',
      from: { path: '^apps/([^/]+)/' },
      to: { path: '^apps/', pathNot: '^apps/$1/' },
    },
    {
      name: 'libs-never-import-apps',
      severity: 'error',
      from: { path: '^libs/' },
      to: { path: '^(apps|e2e|loadtest)/' },
    },
    {
      name: 'raft-core-touches-nothing',
      severity: 'error',
      from: { path: '^libs/raft/src/core/' },
      to: { pathNot: ['^libs/raft/src/core/', '^libs/foundation/'] },
    },
    ...Object.entries(below).map(([name, allowed]) => ({
      name: `${name}-imports-only-what-is-below`,
      severity: 'error',
      from: { path: `^libs/${name}/src/` },
      to: { path: '^libs/', pathNot: [lib([name, ...allowed])] },
    })),
    {
      name: 'front-door-only',
      comment: 'A package is entered by src/index.ts or its testing door.',
      severity: 'error',
      from: { path: '^(libs|apps|e2e|loadtest)/([^/]+)' },
      to: {
        path: '^libs/([^/]+)/(src|dist)/',
        pathNot: ['^$1/$2/', '^libs/[^/]+/(src|dist)/(index|testing/index)\\.'],
      },
    },
    { name: 'unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '/dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.depcruise.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'default'],
      extensions: ['.ts', '.js'],
    },
  },
}
