import { localRunner, type RunRequest } from './sim-runner.js'

/** Runs what the process that started this one asks for, until that lets go of it. */
process.on('message', (request: RunRequest) => {
  void localRunner.run(request).then((outcome) => process.send?.(outcome))
})
