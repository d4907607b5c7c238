#!/bin/bash
# First thing in the guest: make it an ordinary machine, then run the command.
#   guest-init.sh SCRATCH COMMAND…       leaves the command's exit status in SCRATCH/status
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8
export SCRATCH=$1 PYTHONDONTWRITEBYTECODE=1
shift

ip link set lo up
mounted() { grep -qs " $1 " /proc/mounts; }
mounted /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
mounted /sys/fs/bpf || mount -t bpf bpffs /sys/fs/bpf
mounted /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup
ulimit -n 65536

"$@"
echo $? >"$SCRATCH/status"
sync
