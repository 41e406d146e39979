# The native addon. tools/build-native.sh calls node-gyp with a folder of generated headers: nothing is downloaded.
# libbpf is linked in (the addon must run where no libbpf is installed); libelf and zlib stay shared.
{
  'targets': [{
    'target_name': 'plainsight',
    'sources': [
      'native/addon.cc',
      'native/arguments.cc',
      'native/attachment.cc',
      'native/bpf-iterator.cc',
      'native/bpf-map.cc',
      'native/bpf-object.cc',
      'native/errors.cc',
      'native/features.cc',
      'native/fault-guard.cc',
      'native/file-pages.cc',
      'native/kernel-types.cc',
      'native/link.cc',
      'native/loaded-object.cc',
      'native/log.cc',
      'native/mapped-file.cc',
      'native/ring-buffer.cc',
      'native/uprobe-multi.cc',
    ],
    'defines': [
      'NAPI_VERSION=8',
      'NAPI_CPP_EXCEPTIONS',
      'NODE_ADDON_API_DISABLE_DEPRECATED',
    ],
    'cflags': ['-O2', '-g1', '-Wall', '-Wextra', '-Werror', '-Wformat=2', '-fvisibility=hidden', '-fstack-protector-strong',
               '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=2', '-ffunction-sections', '-fdata-sections'],
    # -isystem: the warnings of node-addon-api are not ours.
    'cflags_cc': ['-std=c++17', '-fexceptions', '-isystem', '<(module_root_dir)/node_modules/node-addon-api'],
    'libraries': ['-l:libbpf.a', '-lelf', '-lz'],
    # wrap: Debian's libbpf.a is compiled for executables (PIE), which may reach stderr of libc directly; a shared object
    # may not, so that one variable is replaced by one of ours (native/log.cc).
    # wrap, too: the kernel's types are read once (native/kernel-types.h).
    # nodelete: a worker that exits would unload the code that handles SIGBUS and libbpf's messages.
    'ldflags': ['-Wl,-z,relro', '-Wl,-z,now', '-Wl,-z,noexecstack', '-Wl,-z,nodelete', '-Wl,--exclude-libs,ALL',
                '-Wl,--gc-sections', '-Wl,--as-needed', '-Wl,--wrap=stderr',
                '-Wl,--wrap=btf__load_vmlinux_btf', '-Wl,--wrap=btf__free'],
  }],
}
