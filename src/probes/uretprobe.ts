/**
 * Whether a uretprobe can kill what it observes. On x86-64 the kernel replaced the breakpoint behind a return by a system
 * call of its own in 6.11 (commit ff474a78cef5), which seccomp filters that name what is allowed answer by killing the process,
 * until they were told to let it pass (commit cf6cb56ef244 in 6.14, and in 6.13.3 and 6.12.14). The version decides, because
 * trying would mean to kill a process; a distribution's kernel that hides its patch level counts as unmended.
 */

/** `release` as in /proc/sys/kernel/osrelease, `machine` as process.arch. */
export function isUretprobeSafe(release: string, machine: string): boolean {
  const [, major, minor, patch] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(release) ?? [];
  if (machine !== 'x64' || major !== '6') return true;
  if (minor === '11') return false;
  if (minor === '12') return Number(patch ?? 0) >= 14;
  if (minor === '13') return Number(patch ?? 0) >= 3;
  return true;
}
