/** What Plainsight uses of elfy 1.0.0, as its lib/elfy/parser.js has it. Numbers beyond 2^53 come rounded. */
declare module 'elfy' {
  namespace elfy {
    interface Header {
      type: string | undefined;
      machine: string | undefined;
      phoff: number;
      shoff: number;
      phentsize: number;
      phnum: number;
      shentsize: number;
      shnum: number;
      shstrndx: number;
    }
    interface Program {
      type: string | undefined;
      offset: number;
      vaddr: number;
      filesz: number;
      memsz: number;
      flags: { r?: boolean; w?: boolean; x?: boolean };
      align: number;
    }
    interface Section {
      /** Offset in the section that holds the names. */
      name: number;
      type: string | number;
      addr: number;
      off: number;
      size: number;
      link: number;
    }
    class Parser {
      parseHeader(bytes: Buffer): Header;
      parsePrograms(bytes: Buffer, header: Header): Program[];
      parseSections(bytes: Buffer, header: Header): Section[];
    }
  }
  export = elfy;
}
