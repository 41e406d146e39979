import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUretprobeSafe } from '../../src/probes/uretprobe.ts';

const SAFE = [
  '5.10.0-32-amd64',
  '6.1.0-50-amd64',
  '6.10.14',
  '6.12.14',
  '6.12.95+deb12-amd64',
  '6.13.3',
  '6.14.0',
  '7.2.13+deb14-amd64',
];
const UNSAFE = ['6.11.0-14-generic', '6.11.12', '6.12', '6.12.13-cloud', '6.13.0', '6.13.2-arch1-1'];

test('kernels whose uretprobes die under seccomp', () => {
  for (const release of SAFE) assert.equal(isUretprobeSafe(release, 'x64'), true, release);
  for (const release of UNSAFE) assert.equal(isUretprobeSafe(release, 'x64'), false, release);
  for (const release of UNSAFE) assert.equal(isUretprobeSafe(release, 'arm64'), true, release);
});
