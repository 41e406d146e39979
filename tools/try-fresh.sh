#!/usr/bin/env bash
# Runs a command of the README as a newcomer would: in a fresh Debian that has nothing but git and the Node.js of this
# host, on a copy of the working tree (committed or not). For maintainers; needs root, mmdebstrap and a network.
#
#   tools/try-fresh.sh [--suite bookworm|trixie] [--keep] [COMMAND...]      default: npm run setup, twice
#
# Keeps the base system as .cache/fresh/SUITE.tar (delete it for a newer one) and unpacks it anew each time; --keep leaves
# the tree of the last run in place. All mounts are made in a mount namespace of their own and go with it, however this
# ends; nothing is removed while anything is still mounted below it. What the command left running is reported and ended.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
	echo "try-fresh: $*" >&2
	exit 2
}

# --- inside the mount namespace ----------------------------------------------------------------------------------------
if [[ ${1-} == --inside ]]; then
	tree=$2
	shift 2
	# The root of a real system is a mount point: unshare(1) and the like count on it.
	mount --bind "$tree" "$tree"
	for folder in proc sys dev; do
		mount --rbind "/$folder" "$tree/$folder"
	done
	mount --bind -o ro "$(readlink -f "$(command -v node)")" "$tree/usr/local/bin/node"
	mount --bind -o ro "$(npm root --global 2>/dev/null)" "$tree/usr/local/lib/node_modules"
	variables=(
		HOME=/root TERM="${TERM:-dumb}" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		npm_config_registry="$(npm config get registry 2>/dev/null)"
	)
	[[ -e $tree/etc/host-certificates.crt ]] && variables+=(NODE_EXTRA_CA_CERTS=/etc/host-certificates.crt)
	# shellcheck disable=SC2016
	exec env -i "${variables[@]}" chroot "$tree" /bin/bash -c 'cd /plainsight && exec "$@"' try-fresh "$@" </dev/null
fi

# --- outside -----------------------------------------------------------------------------------------------------------
suite=bookworm
keep=false
while (($# > 0)); do
	case $1 in
	--suite) suite=${2:?--suite needs a name} && shift 2 ;;
	--keep) keep=true && shift ;;
	-*) fail "unknown option $1" ;;
	*) break ;;
	esac
done
((EUID == 0)) || fail 'needs root'
command -v mmdebstrap >/dev/null || fail 'mmdebstrap is missing: apt-get install mmdebstrap'

cache=$PWD/.cache/fresh
base=$cache/$suite.tar
tree=$cache/$suite
mkdir -p "$cache"

remove_tree() {
	[[ -e $tree ]] || return 0
	if findmnt --raw --noheadings --output TARGET | grep -qF "$tree/"; then
		fail "something is still mounted below $tree: not removed"
	fi
	rm -rf --one-file-system -- "$tree"
}

# Processes whose root folder is the tree.
left_running() {
	local process
	for process in /proc/[0-9]*; do
		[[ $(readlink "$process/root" 2>/dev/null) == "$tree" ]] && echo "${process#/proc/}"
	done
	return 0
}

clean_up() {
	local pid pids
	mapfile -t pids < <(left_running)
	for pid in "${pids[@]}"; do
		echo "try-fresh: was left running: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)" >&2
		kill -KILL "$pid" 2>/dev/null || true
	done
	$keep || remove_tree
}

if [[ ! -e $base ]]; then
	echo "try-fresh: makes $base"
	sources=()
	# This host's mirror, when it runs the same release.
	if [[ $(. /etc/os-release && echo "${VERSION_CODENAME-}") == "$suite" && -e /etc/apt/sources.list.d/debian.sources ]]; then
		sources=(/etc/apt/sources.list.d/debian.sources)
	fi
	# How this host reaches its archive (proxies, checks of dates) holds for the new system too.
	apt-config dump | grep -E '^Acquire::(http|https|Check)' >"$cache/apt.conf" || true
	mmdebstrap --quiet --variant=minbase --include=git,ca-certificates --aptopt="$cache/apt.conf" \
		"$suite" "$base.tmp.tar" "${sources[@]}"
	mv -- "$base.tmp.tar" "$base"
fi

remove_tree
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
mkdir -p "$tree/plainsight"
tar --extract --file "$base" --directory "$tree" --exclude './dev/*'
cp /etc/resolv.conf /etc/hosts "$tree/etc/"
[[ -z ${NODE_EXTRA_CA_CERTS-} ]] || cp "$NODE_EXTRA_CA_CERTS" "$tree/etc/host-certificates.crt"
mkdir -p "$tree/usr/local/lib/node_modules"
touch "$tree/usr/local/bin/node"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$tree/usr/local/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$tree/usr/local/bin/npx"

# As a clone would have it: what git would commit, without what it ignores. The list of all files names what is deleted too.
git ls-files --cached --others --exclude-standard -z |
	while IFS= read -r -d '' file; do [[ -e $file ]] && printf '%s\0' "$file"; done |
	tar --create --null --files-from=- | tar --extract --directory "$tree/plainsight" --no-same-owner
git -C "$tree/plainsight" init --quiet
git -C "$tree/plainsight" add --all
git -C "$tree/plainsight" -c user.name=try-fresh -c user.email=try@fresh.invalid commit --quiet --message 'try: the working tree'

run() {
	local started=$SECONDS
	printf '\n==== %s: %s\n' "$suite" "$*"
	unshare --mount --propagation private bash "tools/try-fresh.sh" --inside "$tree" "$@"
	printf '==== done in %d s\n' $((SECONDS - started))
}
if (($# > 0)); then
	run "$@"
else
	run npm run setup
	run npm run setup
fi
