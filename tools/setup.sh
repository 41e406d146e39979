#!/usr/bin/env bash
# The set-up behind npm start, npm test, npm run setup and npm run build: Debian packages, npm packages, then
# bpf/ -> native/ -> src/, each only when something is missing or its inputs changed. Prints one line per thing it does,
# nothing when there is nothing to do, and then needs neither root nor a network.
#
#   setup.sh            what `plainsight run` needs
#   setup.sh --test     what the tests need besides: real servers and clients, clang-format
#   setup.sh --demo     what the demo needs besides: nginx, openssl
#   setup.sh --page     what the tests of the page need: Chromium, nginx, openssl
#   setup.sh --build    no Debian packages are looked at: npm packages and the build only
#
# Exit status: 2 this machine lacks something that is not installed by this user here, 64 wrong use, else that of the
# step that failed. It downloads through apt-get and npm only, starts no service and removes no package.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=run
case ${1-} in
'') ;;
--test) packages=test ;;
--demo) packages=demo ;;
--page) packages=page ;;
--build) packages=none ;;
*) echo "setup.sh: unknown argument $1" >&2 && exit 64 ;;
esac

say() { echo "set-up: $*"; }
fail() {
	echo "set-up: $2" >&2
	exit "$1"
}

# --- Node.js -----------------------------------------------------------------------------------------------------------
command -v node >/dev/null || fail 2 'node is missing: install Node.js 20.19 or later'
node_version=$(node --version)
IFS=. read -r node_major node_minor _ <<<"${node_version#v}"
((node_major > 20 || (node_major == 20 && node_minor >= 19))) ||
	fail 2 "Node.js ${node_version#v} is too old: install 20.19 or later"

mkdir -p build
exec 9>build/.lock
flock --nonblock 9 || { say 'waits for another set-up of this folder' && flock 9; }

# --- Debian packages ---------------------------------------------------------------------------------------------------
# What must be there : the package that brings it. A leading / is a file, anything else a program. LLVM tools stand
# without their version, which is chosen below.
needs=(
	make:make g++:g++ python3:python3
	clang:clang llvm-strip:llvm llvm-readelf:llvm
	/usr/include/bpf/libbpf.h:libbpf-dev /usr/include/libelf.h:libelf-dev /usr/include/zlib.h:zlib1g-dev
)
[[ $packages == test ]] && needs+=(
	nginx:nginx-light h2load:nghttp2-client wrk:wrk curl:curl openssl:openssl ps:procps bpftool:bpftool hey:hey runc:runc
	ip:iproute2 nft:nftables
)
[[ $packages == demo || $packages == page ]] && needs+=(nginx:nginx-light openssl:openssl)
[[ $packages == page ]] && needs+=(chromium:chromium)

# Programs of the system administrator are not on every user's PATH.
PATH=$PATH:/usr/sbin:/sbin

is_there() {
	case $1 in
	/*) [[ -e $1 ]] ;;
	clang | llvm-*) bash tools/build-bpf.sh --find "$1" >/dev/null ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# Tried three times, then left at that: an archive that does not matter here may be the one that fails.
apt_update() {
	local try
	for try in 1 2 3; do
		say "apt-get update (try $try of 3)"
		apt-get update -qq -o APT::Update::Error-Mode=any >>build/apt.log 2>&1 && return
		((try == 3)) || sleep $((try * 5))
	done
	say 'apt-get update failed three times; goes on with the package lists that are there'
}

apt_failed() {
	grep '^E:' build/apt.log | tail -n 5 >&2 || true
	fail 2 "apt-get install failed; its output is in build/apt.log"
}

# The LLVM that is chosen when none is installed: 19, which the objects are developed with, else the newest.
llvm_version() {
	local versions
	versions=$(apt-cache --names-only search '^clang-[0-9]+$' | sed -n 's/^clang-\([0-9]\+\) .*/\1/p' | sort -rn)
	if grep -qx 19 <<<"$versions"; then
		echo 19
	else
		head -n 1 <<<"$versions"
	fi
}

# Package names as apt-get takes them.
with_versions() {
	local package llvm
	llvm=$(llvm_version)
	for package in "$@"; do
		case $package in
		clang | llvm) echo "$package${llvm:+-$llvm}" ;;
		*) echo "$package" ;;
		esac
	done
}

can_be_installed() { apt-cache --quiet=0 policy "$@" 2>/dev/null | grep -c 'Candidate: [^(]' | grep -qx $#; }

# A package of a server starts its service when it is installed and at every boot. Neither is wanted here: systemd starts
# no masked unit, and elsewhere invoke-rc.d starts nothing in runlevel 1.
services=(nginx-light:nginx)
masked=()
unmask() {
	local service
	for service in "${masked[@]}"; do
		systemctl unmask --quiet "$service" && systemctl disable --quiet "$service" || return
	done
	masked=()
} >>build/apt.log 2>&1

install() {
	local status=0 entry service
	for entry in "${services[@]}"; do
		service=${entry#*:}.service
		[[ -d /run/systemd/system && " $* " == *" ${entry%%:*} "* ]] || continue
		systemctl cat "$service" >/dev/null 2>&1 && continue
		trap unmask EXIT
		systemctl mask "$service" >>build/apt.log 2>&1 || return
		masked+=("$service")
	done
	RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "$@" >>build/apt.log 2>&1 || status=$?
	unmask || say "${masked[*]} could not be unmasked and disabled; the reason is in build/apt.log"
	return "$status"
}

install_packages() {
	local missing=() lacking=() need package names
	for need in "${needs[@]}"; do
		is_there "${need%%:*}" && continue
		lacking+=("${need%%:*}")
		package=${need#*:}
		[[ " ${missing[*]-} " == *" $package "* ]] || missing+=("$package")
	done
	((${#missing[@]} > 0)) || return 0

	command -v apt-get >/dev/null || fail 2 "missing here: ${lacking[*]} (and this is no Debian or Ubuntu: install them by hand)"
	if ((EUID != 0)); then
		mapfile -t names < <(with_versions "${missing[@]}")
		fail 2 "Debian packages are missing. Run this, then try again:
  sudo apt-get update && sudo apt-get install --no-install-recommends ${names[*]}"
	fi

	: >build/apt.log
	mapfile -t names < <(with_versions "${missing[@]}")
	local updated=false
	if ! can_be_installed "${names[@]}"; then
		apt_update && updated=true
		mapfile -t names < <(with_versions "${missing[@]}")
	fi
	say "installs the Debian packages ${names[*]} and what they depend on"
	if ! install "${names[@]}"; then
		# The lists may be older than the archive.
		$updated && apt_failed
		apt_update
		install "${names[@]}" || apt_failed
	fi
	for need in "${lacking[@]}"; do
		is_there "$need" || fail 2 "$need is still missing after the installation; the output of apt-get is in build/apt.log"
	done
}

# clang-format writes differently from version to version, so the check wants this one and is left out where it cannot be had.
install_format_checker() {
	command -v clang-format-19 >/dev/null && return
	((EUID == 0)) && command -v apt-get >/dev/null && can_be_installed clang-format-19 || return 0
	say 'installs the Debian packages clang-format-19'
	install clang-format-19 || say 'clang-format-19 cannot be installed; the output of apt-get is in build/apt.log'
}

if [[ $packages != none ]]; then
	install_packages
	if [[ $packages == test ]]; then install_format_checker; fi
fi

# --- npm packages ------------------------------------------------------------------------------------------------------
fingerprint() { sha256sum "$@" | sha256sum | cut -d ' ' -f 1; }

# Runs a command unless the stamp file holds the text. The stamp goes first: a step that failed is done again.
unless_stamped() {
	local stamp=$1 wanted=$2
	shift 2
	[[ -e $stamp && $(<"$stamp") == "$wanted" ]] && return
	rm -f -- "$stamp"
	"$@"
	echo "$wanted" >"$stamp"
}

install_npm_packages() {
	say 'installs the npm packages of package-lock.json'
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >build/npm.log 2>&1 || {
		cat build/npm.log >&2
		fail 1 'npm ci failed'
	}
}
unless_stamped node_modules/.plainsight-stamp "$(fingerprint package-lock.json) node $node_major" install_npm_packages

# --- the build ---------------------------------------------------------------------------------------------------------
# All files under the folders, and the named files, that exist.
inputs() { find "$@" -type f -print0 2>/dev/null | sort -z | xargs -0 sha256sum; }
hash_of() { "$@" | sha256sum | cut -d ' ' -f 1; }

build_bpf() {
	say 'builds bpf/'
	bash tools/build-bpf.sh || fail 1 'bpf/ cannot be built'
}
build_native() {
	say 'builds native/'
	bash tools/build-native.sh || fail 1 'native/ cannot be built'
}
build_sources() {
	say 'builds src/, test/, tools/ and bench/'
	# What has lost its source would still be found by the test runner.
	local file
	while IFS= read -r file; do
		[[ -e ${file#build/} ]] || rm -f -- "${file%.ts}.js" "${file%.ts}.js.map"
	done < <(find build/src build/test build/tools build/bench -name '*.js' 2>/dev/null | sed 's/\.js$/.ts/')
	sources_built || rm -f build/tsconfig.tsbuildinfo
	node_modules/.bin/tsc -p . || fail 1 'the TypeScript sources have errors'
}
sources_built() {
	local file
	while IFS= read -r file; do
		[[ -e build/${file%.ts}.js ]] || return 1
	done < <(find src test tools bench -name '*.ts' ! -name '*.d.ts' ! -path 'src/web/page/*')
}
build_page() {
	say 'builds the page'
	node_modules/.bin/tsc -p src/web/page || fail 1 'the page has type errors'
	node build/tools/build-page.js || fail 1 'the page cannot be built'
}
build_client_node() {
	say 'builds the client of Kubernetes'
	node build/tools/build-client-node.js || fail 1 'the client of Kubernetes cannot be built'
}
objects_built() {
	local file arch
	for file in bpf/*.bpf.c; do
		for arch in x64 arm64; do
			[[ -e build/bpf/$arch/$(basename "$file" .c).o && -e build/abi/$arch.o ]] || return 1
		done
	done
}

objects_built || rm -f build/bpf.stamp
unless_stamped build/bpf.stamp "$(hash_of inputs bpf tools/build-bpf.sh tools/abi/events.c) $(bash tools/build-bpf.sh --find clang)" build_bpf
[[ -e build/native/plainsight.node ]] || rm -f build/native.stamp
unless_stamped build/native.stamp \
	"$(hash_of inputs native bpf/events.h binding.gyp tools/build-native.sh node_modules/.plainsight-stamp) $(uname -m)" build_native
sources_built || rm -f build/sources.stamp
unless_stamped build/sources.stamp \
	"$(hash_of inputs src test tools bench tsconfig.json node_modules/.plainsight-stamp)" build_sources
[[ -e build/client-node/client-node.js ]] || rm -f build/client-node.stamp
unless_stamped build/client-node.stamp \
	"$(hash_of inputs tools/build-client-node.ts tools/client-node.ts node_modules/.plainsight-stamp)" build_client_node
[[ -e build/web/index.html ]] || rm -f build/page.stamp
unless_stamped build/page.stamp \
	"$(hash_of inputs src/web/page src/summary/contract.ts tools/build-page.ts tsconfig.json node_modules/.plainsight-stamp)" build_page
