/** What the reasons and stages that the agent reports mean, and what can be done, in words. A test holds the lists against each other. */

/** Why a process' TLS is (not) seen, as TLS_REASONS of src/tls/library.ts. */
export const TLS_REASONS: Readonly<Record<string, string>> = {
  '': '',
  'waiting for a scan': 'Found a moment ago; its libraries are looked at next.',
  'process exited': 'It ended before its libraries could be looked at.',
  'no known TLS library':
    'It speaks TLS, but with no library that is known here: a static build without symbols, Java, or Rust.',
  'no read or write function': 'The library is there, but not the functions that read and write.',
  'required function missing': 'A function that is needed to follow connections is not in this build.',
  'permission denied':
    'The agent may not open the file. It needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH; for a file that was replaced, a restart of the process, or CAP_CHECKPOINT_RESTORE.',
  'file replaced': 'The file was replaced while it was looked at; a restart of the process helps.',
  'file unreadable': 'The file could not be read.',
  'not an ELF file': 'What is mapped is no program file.',
  '32-bit': 'Programs of 32 bits are not covered.',
  'big-endian': 'Programs of the other byte order are not covered.',
  'other machine': 'The program is for another processor, run by an emulator.',
  'function cannot be probed': 'No instruction in the function is safe to probe.',
  'returns cannot be covered': 'Not every return of the function can be seen, so it is left alone.',
  'packed executable': 'The executable is packed: its functions are not where they run.',
  'Go version unknown': 'The program does not say with which Go it was built.',
  'Go version too old': 'Go before 1.17 passes arguments in another way.',
  'Go version unverified': 'This version of Go is newer than those that were tried.',
  'Go functions not found': 'The functions of crypto/tls are not in the program.',
  'attach failed': 'The kernel refused the probes; the log says why.',
  'too many libraries': 'More libraries than are followed on one node.',
};

/** As LOSS_STAGES of src/metrics/self.ts. */
export const LOSS_STAGES: Readonly<Record<string, string>> = {
  missed: 'The kernel skipped a probe: it was busy in another one on that processor.',
  ring: 'The ring buffer was full. A larger --ring-size helps.',
  map_full: 'More connections or calls at once than the kernel side keeps.',
  truncated: 'Bytes could not be read from the memory of a process.',
  queue: 'More connections at once than the agent keeps; the oldest was given up.',
};

/** As IncompleteReason of src/stream/contract.ts. */
export const INCOMPLETE_REASONS: Readonly<Record<string, string>> = {
  closed: 'The connection was closed before the response was whole.',
  reset: 'The connection was reset, or its process ended.',
  lost: 'Lost events hid where the message ends.',
  truncated: 'The head of the message is larger than what is captured of one.',
  malformed: 'Not HTTP where a message had to begin.',
  orphan: 'A response without its request: the agent came in between.',
  pipeline: 'More requests outstanding on a connection than are kept.',
  evicted: 'The connection was dropped from a full table.',
};
