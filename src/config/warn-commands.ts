/**
 * Commands of trackers and notification: notes their programs for warn-files.ts, and warns of what
 * only a shell would understand, since none is there: the program would get it as an argument.
 */
import type { Command, Config } from '../core/config/config.ts';
import type { Path } from './document.ts';
import type { NamedFile, Report } from './report.ts';

/** Words that join commands, and beginnings of words that lead input or output elsewhere. */
const SHELL_WORD = /^(\||\|\||&|&&|;|\d?[<>].*|&>.*|\$\(.*|`.*)$/;
/** Programs that understand them. */
const SHELLS = /\/(sh|bash|dash|ash|ksh|zsh|busybox)$/;

export function warnOfCommands(config: Config, report: Report): void {
  const { notify, services } = config;
  for (const tracker of config.trackers) {
    if (tracker.kind !== 'script') continue;
    const { name, command, user } = tracker;
    note(
      command,
      ['trackers', name, 'script'],
      { consequence: 'the tracker is down', user },
      report,
    );
  }
  const top = {
    fifo_script: notify.fifoScript,
    startup: notify.startup,
    shutdown: notify.shutdown,
  };
  noteAll(top, ['notify'], report);
  for (const {
    name,
    lowerPriority,
    active,
    backup,
    fault,
    stop,
    deleted,
    any,
  } of notify.instances) {
    const own = { active, backup, fault, stop, deleted, any, lower_priority: lowerPriority };
    noteAll(own, ['vrrp', name, 'notify'], report);
  }
  for (const { name, active, backup, fault, stop, any } of notify.groups) {
    noteAll({ active, backup, fault, stop, any }, ['groups', name, 'notify'], report);
  }
  for (const { name, notify: own } of services) {
    if (own === null) continue;
    const { quorumUp, quorumDown, serverUp, serverDown } = own;
    const commands = { quorum_up: quorumUp, quorum_down: quorumDown };
    const more = { server_up: serverUp, server_down: serverDown };
    noteAll({ ...commands, ...more }, ['services', name, 'notify'], report);
  }
}

function noteAll(commands: Readonly<Record<string, Command | null>>, path: Path, report: Report) {
  for (const [key, command] of Object.entries(commands)) {
    if (command === null) continue;
    note(command, [...path, key], { consequence: 'nobody is told' }, report);
  }
}

function note(
  command: Command,
  path: Path,
  about: Pick<NamedFile, 'consequence' | 'user'>,
  report: Report,
): void {
  const [program = '', ...words] = command;
  report.files.push({ path, file: program, use: 'run', ...about });
  const word = SHELLS.test(program) ? undefined : words.find((each) => SHELL_WORD.test(each));
  if (word === undefined) return;
  report.warning(
    path,
    `${word} is handed to ${program} as it is, since no shell reads this line: ` +
      'write a script, or [/bin/sh, -c, …]',
  );
}
