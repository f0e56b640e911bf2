#!/usr/bin/env node
import process from 'node:process'
import { askNode } from './admin-client.js'
import { runAdmin } from './admin-run.js'

process.exitCode = await runAdmin(process.argv.slice(2), {
  ask: askNode,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
})
