/**
 * Reporter for vitest that test/run.mjs reads: how many tests passed, failed and were left out,
 * and of everything that did not pass its name and the head of its reason, also of hooks and of
 * files that could not be loaded. Written as JSON to the file that VIPKEEPER_TEST_REPORT names.
 *
 * Plain JavaScript, like run.mjs.
 */
import { writeFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';

const MOST_LINES = 20;

export default class Reporter {
  onTestRunEnd(modules, unhandledErrors) {
    const report = { passed: 0, failed: 0, skipped: 0, failures: [] };
    for (const module of modules) readModule(module, report);
    for (const error of unhandledErrors) {
      report.failures.push(`outside of a test\n${reason([error])}`);
    }
    writeFileSync(process.env.VIPKEEPER_TEST_REPORT, JSON.stringify(report));
  }
}

function readModule(module, report) {
  const path = module.relativeModuleId;
  const failed = (name, errors) => report.failures.push(`${path}: ${name}\n${reason(errors)}`);
  if (module.errors().length > 0) failed('the file', module.errors());
  for (const suite of module.children.allSuites()) {
    if (suite.errors().length > 0) failed(`hook of "${suite.fullName}"`, suite.errors());
  }
  for (const test of module.children.allTests()) {
    const { state, errors } = test.result();
    if (state === 'passed') report.passed++;
    else if (state === 'failed') {
      report.failed++;
      failed(test.fullName, errors);
    } else {
      report.skipped++;
      report.failures.push(`${path}: ${test.fullName} was not run`);
    }
  }
}

/** Message, places in the tests, and difference; the whole stands with the output of the layer. */
function reason(errors) {
  const lines = errors
    .flatMap(({ message = '', diff = '', stack = '' }) => [
      ...message.split('\n'),
      ...stack.split('\n').filter((line) => line.includes(`${process.cwd()}/test/`)),
      ...stripVTControlCharacters(diff).split('\n'),
    ])
    .filter((line) => line.trim() !== '');
  const rest = lines.length > MOST_LINES ? [`(${lines.length - MOST_LINES} more lines)`] : [];
  return [...lines.slice(0, MOST_LINES), ...rest].map((line) => `    ${line.trimEnd()}`).join('\n');
}
