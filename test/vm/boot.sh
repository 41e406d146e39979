#!/usr/bin/env bash
# Process 1 of a guest after its initramfs: mounts what programs expect, unpacks the project into /plainsight, runs
# /run/vm/command.sh and puts /results as a tar archive on the disk called `exchange`, then turns the machine off.
# /run/vm/settings says how: `limit` (seconds for the command) and `interactive` (a shell on the console instead).
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=${TERM:-linux} LC_ALL=C.UTF-8
# shellcheck disable=SC1091
source /run/vm/settings

mount -t devpts -o gid=5,mode=620 devpts /dev/pts 2>/dev/null || { mkdir -p /dev/pts && mount -t devpts devpts /dev/pts; }
mkdir -p /dev/shm /results /plainsight
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t securityfs security /sys/kernel/security
mount -t tracefs trace /sys/kernel/tracing
mount -t debugfs debug /sys/kernel/debug
ln -sf /proc/self/fd /dev/fd
ln -sf /proc/self/fd/0 /dev/stdin
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr
ip link set lo up
hostname guest
ulimit -n 65536
tar -xf "$(cat /run/vm/project-disk)" -C /plainsight
cd /plainsight || poweroff -f

if [[ $interactive == yes ]]; then
	# A controlling terminal, so that ^C and job control work.
	setsid --ctty --wait bash --login -i <"/dev/$console" >"/dev/$console" 2>&1
else
	# What a guest that is never heard of again was doing.
	: >/results/stdout
	tail --follow /results/stdout >"/dev/$console" 2>/dev/null &
	timeout --kill-after=5 "$limit" bash /run/vm/command.sh </dev/null >/results/stdout 2>/results/stderr
	echo $? >/results/exit-code
	dmesg >/results/dmesg 2>&1
	tar -cf "$(cat /run/vm/exchange-disk)" -C /results .
fi
sync
/bin/busybox poweroff -f
