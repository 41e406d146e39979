#!/usr/bin/env bash
# The system below the agent in its image: Node.js 24 of Debian with the libraries that it and the addon need, unpacked into
# a folder. No shell, no package manager, no compiler, no certificates (the only server the agent calls brings its own
# authority). No script of a package is run, so it needs no root and no chroot; it asks only apt of a suite with Node.js 24,
# which the caller has set up (a container of that suite, or APT_CONFIG).
#
#   system.sh FOLDER [--list] PACKAGE...   FOLDER must not exist; without packages: those of the agent's image
set -euo pipefail
export LC_ALL=C

(($# >= 1)) || { echo 'system.sh: give a folder' >&2 && exit 64; }
tree=$1
shift
packages=("$@")
((${#packages[@]} > 0)) || packages=(nodejs libelf1t64 zlib1g base-files netbase)
[[ ! -e $tree ]] || { echo "system.sh: $tree is there already" >&2 && exit 64; }

downloads=$(mktemp -d)
trap 'rm -rf -- "$downloads"' EXIT
mkdir -p "$downloads/partial"
# To apt nothing is installed, so it fetches all that the packages depend on.
: >"$downloads/status"
apt-get install -y -qq --download-only --no-install-recommends \
	-o Dir::State::Status="$downloads/status" -o Dir::Cache::Archives="$downloads" -o APT::Sandbox::User=root \
	-o APT::Get::AllowUnauthenticated=false -o Debug::NoLocking=true "${packages[@]}" >"$downloads/log" 2>&1 ||
	{ cat "$downloads/log" >&2 && exit 1; }

mkdir -p "$tree"
# Archives without a merged /usr would make folders where these links are.
for name in bin lib lib64 sbin; do
	mkdir -p "$tree/usr/$name"
	ln -s "usr/$name" "$tree/$name"
done
# In the image for the list of what is in it, by name, version and architecture.
mkdir -p "$tree/var/lib/dpkg/status.d"
for file in "$downloads"/*.deb; do
	name=$(dpkg-deb --field "$file" Package)
	case $name in
	# Node.js starts without them: a package manager's fetcher, its doors for scripts and character sets nobody asks for.
	node-corepack | libc-gconv-modules-extra) continue ;;
	# Scripts of packages expect a shell; the image has none and runs none.
	debconf | dash | mawk | perl-base) continue ;;
	esac
	dpkg-deb --fsys-tarfile "$file" | tar -x --no-same-owner --keep-directory-symlink -C "$tree" \
		--exclude='./usr/share/doc/*/changelog*' --exclude='./usr/share/man' --exclude='./usr/share/locale' \
		--exclude='./usr/share/info' --exclude='./usr/share/lintian' --exclude='./usr/share/bug' --exclude='./usr/share/gdb' \
		--exclude='./usr/include' --exclude='*.a'
	dpkg-deb --field "$file" >"$tree/var/lib/dpkg/status.d/$name"
done

# What the packages' own scripts would make, and where Kubernetes mounts something.
mkdir -p "$tree"/{proc,sys,dev,tmp,etc/plainsight,host/proc,run,var/run/secrets/kubernetes.io/serviceaccount}
printf 'root:x:0:0:root:/:/usr/sbin/nologin\n' >"$tree/etc/passwd"
printf 'root:x:0:\n' >"$tree/etc/group"
printf 'hosts: files dns\n' >"$tree/etc/nsswitch.conf"
