/** What differs between the machines that guests are: one entry per architecture of Debian that the matrix knows. */

export type DebianArchitecture = 'amd64';

export interface Architecture {
  readonly debian: DebianArchitecture;
  /** As process.arch says it; also the folder of the BPF objects in build/bpf/. */
  readonly node: NodeJS.Architecture;
  readonly emulator: string;
  /** Debian package that brings the emulator. */
  readonly emulatorPackage: string;
  readonly machine: string;
  /** The serial console as the guest's kernel calls it. */
  readonly console: string;
}

export const ARCHITECTURES: Readonly<Record<DebianArchitecture, Architecture>> = {
  amd64: {
    debian: 'amd64',
    node: 'x64',
    emulator: 'qemu-system-x86_64',
    emulatorPackage: 'qemu-system-x86',
    machine: 'pc',
    console: 'ttyS0',
  },
};
