import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { isAgent, otherAgents } from '../../src/process/other-agents.ts';
import { ProcFs } from '../../src/process/procfs.ts';
import { makeFakeProc } from './fake-proc.ts';

test('an agent is recognised by how it was started', () => {
  const agents = [
    ['node', '--expose-gc', '/opt/plainsight/bin/plainsight', 'run', ''],
    ['/usr/bin/node', '--expose-gc', '/opt/plainsight/bin/plainsight', ''],
    ['node', 'bin/plainsight', '--listen', '0.0.0.0:9090', ''],
    ['/usr/local/bin/plainsight', 'run', '--config', '/etc/plainsight.yaml', ''],
  ];
  for (const words of agents) assert.equal(isAgent(words), true, words.join(' '));
  const others = [
    [],
    [''],
    ['node', '/opt/plainsight/bin/plainsight', 'doctor', ''],
    ['node', '/opt/plainsight/bin/plainsight', 'run', '--help', ''],
    ['node', '/opt/plainsight/bin/plainsight', '--version', ''],
    ['vi', 'docs/plainsight', 'run', ''],
    ['grep', '-r', 'run', '/opt/plainsight', ''],
    ['node', 'server.js', '/opt/plainsight', 'run', ''],
  ];
  for (const words of others) assert.equal(isAgent(words), false, words.join(' '));
});

test('it is found among the processes of a host, and this process is not', async (t) => {
  assert.deepEqual(otherAgents(new ProcFs(makeFakeProc(t))), []);
  const agent = spawn(
    process.execPath,
    ['-e', 'setTimeout(() => {}, 60_000); console.log(1)', '/x/plainsight', 'run'],
    {
      argv0: '/x/plainsight',
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  t.after(() => agent.kill());
  await new Promise((resolve) => agent.stdout.once('data', resolve));
  // Its own command line begins with the program's name and an option.
  assert.ok(otherAgents(new ProcFs()).includes(agent.pid!));
  assert.ok(!otherAgents(new ProcFs()).includes(process.pid));
});
