#!/usr/bin/env bash
# Compiles bpf/*.bpf.c for both architectures into build/bpf/{x64,arm64}/*.bpf.o and prints one line per program with its
# instruction count. build/abi/{x64,arm64}.o are for the generator of src/abi/events.ts. Needs clang >= 14, llvm-strip and
# llvm-readelf of any version, g++ and the headers of libbpf-dev and libc6-dev. BPF is its own target, so no cross compiler
# is needed: the architecture only chooses the registers that bpf_tracing.h reads. Installs nothing (tools/setup.sh does),
# and always builds everything.
#
#   build-bpf.sh                the build
#   build-bpf.sh --find TOOL    the newest version of a tool of LLVM, >= 14; exit 1 when there is none
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The newest version of a tool of LLVM: `clang-19` before `clang-14` before a plain `clang` of at least version 14.
newest() {
	local name=$1 version
	for ((version = 40; version >= 14; version--)); do
		command -v "$name-$version" && return
	done
	command -v "$name" >/dev/null || return 1
	version=$("$name" --version | sed -n 's/.*version \([0-9]\+\).*/\1/p' | head -n 1)
	((${version:-0} >= 14)) && command -v "$name"
}

case ${1-} in
'') ;;
--find) newest "${2:?--find needs a name}" && exit || exit 1 ;;
*) echo "build-bpf.sh: unknown argument $1" >&2 && exit 64 ;;
esac

missing() {
	echo "build-bpf.sh: $1 is missing; npm run setup installs it" >&2
	exit 2
}
clang=$(newest clang) || missing 'clang, version 14 or later'
strip=$(newest llvm-strip) || missing 'llvm-strip, version 14 or later'
readelf=$(newest llvm-readelf) || missing 'llvm-readelf, version 14 or later'

flags=(
	-g -O2 -mcpu=v3 -target bpf
	-Wall -Wextra -Werror -Wpadded
	# Programs take a context that not every one of them reads.
	-Wno-unused-parameter
	# Older clang does not know every attribute of newer libbpf headers.
	-Wno-unknown-attributes
	# The host's asm/types.h, which the bpf target does not look for. After all others: only what is found nowhere else.
	-idirafter "/usr/include/$(g++ -dumpmachine)"
	# Debug information names files relative to the repository, so that the same source gives the same object anywhere.
	"-ffile-prefix-map=$PWD=."
)

shopt -s nullglob
sources=(bpf/*.bpf.c)

# compile SOURCE OBJECT TARGET
compile() {
	"$clang" "${flags[@]}" "-D__TARGET_ARCH_$3" -c "$1" -o "$2.tmp"
	# DWARF goes, BTF stays.
	"$strip" -g "$2.tmp"
	mv -- "$2.tmp" "$2"
}

for arch in x64 arm64; do
	target=$([[ $arch == x64 ]] && echo x86 || echo arm64)
	mkdir -p "build/bpf/$arch" build/abi
	for object in "build/bpf/$arch"/*.bpf.o; do
		[[ -e bpf/$(basename "$object" .o).c ]] || rm -- "$object"
	done
	for file in "${sources[@]}"; do
		compile "$file" "build/bpf/$arch/$(basename "$file" .c).o" "$target"
	done
	compile tools/abi/events.c "build/abi/$arch.o" "$target"
done

# Lines of the form `instructions section function`, 8 bytes each; what is in .text is called by the programs.
count_instructions() {
	"$readelf" --symbols --sections --wide "$1" | awk '
		match($0, /^ *\[ *[0-9]+\]/) {
			number = substr($0, RSTART, RLENGTH)
			gsub(/[^0-9]/, "", number)
			split(substr($0, RSTART + RLENGTH), word, " ")
			section[number] = word[1]
		}
		$4 == "FUNC" { print $3 / 8, section[$7], $8 }'
}

printf '%-15s %6s %6s  %s\n' instructions x64 arm64 program
for file in "${sources[@]}"; do
	object=$(basename "$file" .c).o
	# A function that only one architecture needs shows `-` for the other.
	awk -v object="$object" '
		NR == FNR { arm64[$2 " " $3] = $1; next }
		{ name = $2 " " $3; x64[name] = $1; order[++count] = name }
		END {
			for (name in arm64) if (!(name in x64)) order[++count] = name
			for (i = 1; i <= count; i++) {
				name = order[i]
				printf "%-15s %6s %6s  %s\n", object, name in x64 ? x64[name] : "-", name in arm64 ? arm64[name] : "-", name
			}
		}' <(count_instructions "build/bpf/arm64/$object") <(count_instructions "build/bpf/x64/$object")
done
