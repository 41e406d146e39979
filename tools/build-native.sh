#!/usr/bin/env bash
# Builds native/ into build/native/plainsight.node, only what changed. Downloads nothing: node-gyp is given a folder
# with the headers of node-api-headers, which is all that an addon on Node-API needs. It wants gcc (or CC, CXX), make,
# python3, libbpf-dev, libelf-dev and zlib1g-dev, and node_modules. Prints only what went wrong.
set -euo pipefail
cd "$(dirname "$0")/.."

output=build/native/plainsight.node
nodedir=$PWD/build/native/nodedir
include=$nodedir/include/node

if [ ! -d node_modules/node-gyp ]; then
  echo 'build-native: node_modules is missing; run: npm ci' >&2
  exit 1
fi

mkdir -p "$include"

# Replaces a file only when its content changes, so that make sees no work.
put() {
  if ! cmp -s - "$1" <<<"$2"; then printf '%s\n' "$2" >"$1"; fi
}

for header in node_modules/node-api-headers/include/*.h; do
  copy=$include/${header##*/}
  if ! cmp -s "$header" "$copy"; then cp "$header" "$copy"; fi
done
# node-gyp reads both: the settings that Node.js itself was built with (none matter here) and the build's defaults.
put "$include/config.gypi" "{ 'target_defaults': {}, 'variables': { 'node_shared': 'false' } }"
put "$include/common.gypi" "{ 'target_defaults': { 'default_configuration': 'Release', 'configurations': { 'Release': {} } } }"

arch=${npm_config_arch:-$(node -p process.arch)}

# The settings of npm come as variables, and node-gyp would take them over its arguments.
unset "${!npm_config_@}" "${!npm_package_config_node_gyp_@}"

gyp() {
  local log=build/native/node-gyp.log
  if ! node node_modules/node-gyp/bin/node-gyp.js "$@" --nodedir "$nodedir" --arch "$arch" --jobs 2 \
    --loglevel error >"$log" 2>&1; then
    cat "$log" >&2
    echo "build-native: node-gyp $1 failed" >&2
    exit 1
  fi
}

# A change of the compiler or of the target needs a new Makefile, as a change of binding.gyp does.
stamp="$arch ${CC-} ${CXX-} $PWD"
if [ ! -f build/Makefile ] || [ binding.gyp -nt build/Makefile ] || [ "$0" -nt build/Makefile ] ||
  ! cmp -s - build/native/configured <<<"$stamp"; then
  rm -rf build/Release
  gyp configure
  printf '%s\n' "$stamp" >build/native/configured
fi
gyp build

if ! cmp -s build/Release/plainsight.node "$output"; then
  # Renamed into place: a running agent keeps the file that it has mapped.
  cp build/Release/plainsight.node "$output.new"
  mv "$output.new" "$output"
fi
