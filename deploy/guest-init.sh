#!/bin/bash
# First thing in the guest: make it an ordinary machine, then run the command.
#   guest-init.sh SCRATCH       runs SCRATCH/command, leaves its exit status in SCRATCH/status
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8
export SCRATCH=$1 PYTHONDONTWRITEBYTECODE=1

ip link set lo up
mounted() { grep -qs " $1 " /proc/mounts; }
mounted /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
mounted /sys/fs/bpf || mount -t bpf bpffs /sys/fs/bpf
mounted /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /var/cache
ulimit -n 65536

# The root is 9p without a cache: each page of a library is a round trip to the host, each stat() too. What programs are
# loaded from is therefore mounted over it with one. The host's files do not change while a guest lives.
mkdir /run/host
if mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose host /run/host; then
	for directory in /usr/bin /usr/sbin /usr/lib/python3* /usr/lib/*-linux-gnu /usr/lib/llvm-* "$PWD" \
		/usr/lib/{jvm,ruby,php,apache2,postgresql,mysql} /usr/share/{postgresql,mysql} /usr/share/rubygems-integration; do
		[ -d "$directory" ] || continue
		mount --bind "/run/host$directory" "$directory"
	done
	cd "$PWD" || exit 1
fi

bash "$SCRATCH/command"
echo $? >"$SCRATCH/status"
sync
