/** What differs between the machines that guests are: one entry per architecture of Debian that the matrix knows. */

export type DebianArchitecture = 'amd64' | 'arm64';

export interface Architecture {
  readonly debian: DebianArchitecture;
  /** As process.arch says it; also the folder of the BPF objects in build/bpf/. */
  readonly node: NodeJS.Architecture;
  /** As compilers and library folders are called. */
  readonly triplet: string;
  readonly emulator: string;
  /** Debian package that brings the emulator. */
  readonly emulatorPackage: string;
  /** Debian package that brings the compiler where this machine is of another architecture. */
  readonly compilerPackage: string;
  readonly machine: string;
  readonly processor: string;
  /** The serial console as the guest's kernel calls it. */
  readonly console: string;
}

export const ARCHITECTURES: Readonly<Record<DebianArchitecture, Architecture>> = {
  amd64: {
    debian: 'amd64',
    node: 'x64',
    triplet: 'x86_64-linux-gnu',
    emulator: 'qemu-system-x86_64',
    emulatorPackage: 'qemu-system-x86',
    compilerPackage: 'g++-x86-64-linux-gnu',
    machine: 'pc',
    processor: 'max',
    console: 'ttyS0',
  },
  arm64: {
    debian: 'arm64',
    node: 'arm64',
    triplet: 'aarch64-linux-gnu',
    emulator: 'qemu-system-aarch64',
    emulatorPackage: 'qemu-system-arm',
    compilerPackage: 'g++-aarch64-linux-gnu',
    machine: 'virt',
    // Of Armv8.0. On `max` the code of V8 goes wrong now and then under emulation ("... is not a function").
    processor: 'cortex-a72',
    console: 'ttyAMA0',
  },
};

export function isForeign({ node }: Architecture): boolean {
  return node !== process.arch;
}
