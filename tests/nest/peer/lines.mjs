// One JSON document per line on stdin and stdout; everything meant for people goes to stderr.
import { createInterface } from 'node:readline';

// A Buffer is written by JSON.stringify as {"type":"Buffer","data":[...]}: read it back as one.
function reviveBuffer(_name, value) {
  return value?.type === 'Buffer' && Array.isArray(value.data) ? Buffer.from(value.data) : value;
}

export function printLine(document) {
  process.stdout.write(`${JSON.stringify(document)}\n`);
}

export function readLines(handle, closed) {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => handle(JSON.parse(line, reviveBuffer)));
  // The end of stdin is the end of the parent: no peer outlives the test run.
  lines.on('close', closed);
}

export const stderrLogger = Object.fromEntries(
  ['log', 'error', 'warn', 'debug', 'verbose', 'fatal'].map((level) => [
    level,
    (...words) => console.error(level, ...words),
  ]),
);
