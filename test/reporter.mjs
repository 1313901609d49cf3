/**
 * Reporter for vitest that test/run.mjs reads: of each file how many tests passed, failed and
 * were left out, and of everything that did not pass its name and the head of its reason, also of
 * hooks and of files that could not be loaded. Written as JSON to the file that
 * VIPKEEPER_TEST_REPORT names.
 *
 * Plain JavaScript, like run.mjs.
 */
import { writeFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';

const MOST_LINES = 20;

export default class Reporter {
  onTestRunEnd(modules, unhandledErrors) {
    const files = modules.map(readModule);
    if (unhandledErrors.length > 0) {
      const failures = unhandledErrors.map((error) => reason([error]));
      const nothing = { passed: 0, failed: 0, skipped: 0 };
      files.push({ path: 'outside of tests', passes: false, ...nothing, failures });
    }
    writeFileSync(process.env.VIPKEEPER_TEST_REPORT, JSON.stringify(files));
  }
}

function readModule(module) {
  const failures = [];
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const failed = (name, errors) => void failures.push(`${name}\n${reason(errors)}`);
  if (module.errors().length > 0) failed('the file', module.errors());
  for (const suite of module.children.allSuites()) {
    if (suite.errors().length > 0) failed(`hook of "${suite.fullName}"`, suite.errors());
  }
  for (const test of module.children.allTests()) {
    const { state, errors } = test.result();
    if (state === 'passed') counts.passed++;
    else if (state === 'failed') {
      counts.failed++;
      failed(test.fullName, errors);
    } else {
      counts.skipped++;
      failures.push(`${test.fullName} was not run`);
    }
  }
  return { path: module.relativeModuleId, passes: failures.length === 0, ...counts, failures };
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
