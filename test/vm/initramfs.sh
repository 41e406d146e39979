#!/bin/busybox sh
# First program of a guest: loads the modules in the order of their names, mounts the disk called `root`, unpacks the tar
# archive of the disk called `exchange` into /run/vm of it, and hands over to the boot.sh that was in there.
# Disks are told apart by their serial numbers: the order of vda, vdb and so on is not promised.
bb=/bin/busybox
$bb mount -t devtmpfs dev /dev
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys

fail() {
	echo "initramfs: $*"
	$bb poweroff -f
}

for module in /modules/*; do
	# One for hardware that is not there is refused.
	$bb insmod "$module" 2>/dev/null
done

find_disk() {
	for try in 1 2 3 4 5 6 7 8 9 10; do
		for block in /sys/block/vd*; do
			[ "$($bb cat "$block/serial" 2>/dev/null)" = "$1" ] && echo "/dev/${block##*/}" && return
		done
		$bb sleep 0.5
	done
}

root=$(find_disk root)
[ -n "$root" ] || fail "there is no disk called root"
$bb mount -t ext4 "$root" /new || fail "cannot mount $root"
$bb mount -t tmpfs -o mode=0755 run /new/run
$bb mkdir /new/run/vm
$bb tar -xf "$(find_disk exchange)" -C /new/run/vm || fail "cannot read the disk called exchange"
find_disk project >/new/run/vm/project-disk
find_disk exchange >/new/run/vm/exchange-disk
for folder in dev proc sys; do $bb mount --move /$folder /new/$folder; done
exec $bb switch_root /new /bin/bash /run/vm/boot.sh
