#!/bin/bash
# Installs what a purpose needs on Debian 12, and nothing twice.
#
#   deploy/setup.sh run     the agent natively:          bcc, environment .venv
#   deploy/setup.sh demo    `make demo`:                 + QEMU, a guest kernel, the demo's servers
#   deploy/setup.sh test    `make test`, `make bench`:   + both guest kernels, compilers, more servers, .venv-receivers
#   deploy/setup.sh accuracy  `make accuracy`:           + the runtimes that only the benchmark of parents needs
#
# Used by the Makefile, .ci/run and the Vagrantfile. Distribution packages need root; the rest does not. Guest kernels
# are unpacked into .cache/kernels, not installed: the machine goes on booting what it booted. Services that come with
# a package (nginx, redis) are neither started nor enabled.
set -euo pipefail

purpose=${1:-test}
case $purpose in run | demo | test | accuracy) ;; *) echo "usage: $0 run|demo|test|accuracy" >&2; exit 2 ;; esac
cd "$(dirname "$0")/.."

# The distribution's own Python, whatever comes first on PATH: bcc is built for that one.
python=/usr/bin/python3

packages=(python3 python3-venv python3-pip python3-bpfcc ca-certificates)
kernels=()
extras=.
if [ "$purpose" != run ]; then
	packages+=(qemu-system-x86 seabios busybox-static file kmod udev iproute2 procps curl wrk nginx-light redis-server postgresql-15)
	kernels+=(6.1)
	extras='.[vm]'
fi
if [ "$purpose" = test ] || [ "$purpose" = accuracy ]; then
	packages+=(gcc libc6-dev liburing-dev bpftool clang-format haproxy nodejs redis-tools vagrant)
	packages+=(mariadb-server mariadb-client python3-mysqldb memcached dnsmasq-base chromium chromium-driver)
	packages+=(nats-server mosquitto rabbitmq-server)
	kernels+=(6.12)
	extras='.[dev]'
fi
if [ "$purpose" = accuracy ]; then
	packages+=(python3-aiohttp python3-uvloop openjdk-17-jdk-headless puma php8.2-fpm apache2-bin)
fi

say() { printf '%s\n' "setup: $*"; }

installed() { dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

as_root() {
	[ "$(id -u)" = 0 ] || { echo "setup: not root, and $* is needed" >&2; exit 1; }
	DEBIAN_FRONTEND=noninteractive "$@"
}

log=$PWD/.cache/setup.log

# What apt has to say interests nobody, unless it fails.
quietly() {
	mkdir -p "${log%/*}"
	"$@" >"$log" 2>&1 || { tail -n 40 "$log" >&2; say "failed: $*"; exit 1; }
}

apt_updated=
apt() {
	if [ -z "$apt_updated" ]; then
		quietly as_root apt-get update -qq
		apt_updated=yes
	fi
	quietly as_root apt-get -qq -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@"
}

# Packages that bring a service must not start it: /usr/sbin/policy-rc.d says no, for as long as the installation takes.
policy=/usr/sbin/policy-rc.d
forbid_services() {
	[ -e "$policy" ] && return
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
}

install_packages() {
	local missing=() service
	for package in "${packages[@]}"; do
		installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	say "installing ${missing[*]}"
	forbid_services
	apt install -y --no-install-recommends "${missing[@]}"
	[ -d /run/systemd/system ] || return 0
	for service in nginx-light:nginx haproxy:haproxy redis-server:redis-server php8.2-fpm:php8.2-fpm \
		postgresql-15:postgresql mariadb-server:mariadb \
		memcached:memcached nats-server:nats-server mosquitto:mosquitto rabbitmq-server:rabbitmq-server; do
		if [[ " ${missing[*]} " == *" ${service%%:*} "* ]]; then
			systemctl disable --quiet "${service##*:}"
		fi
	done
}

# A guest kernel of a series is in /boot or in .cache/kernels/SERIES/boot; deploy/guest.py looks in both places.
unpack_kernel() {
	local series=$1 target=.cache/kernels/$1 meta package
	compgen -G "/boot/vmlinuz-$series.*" >/dev/null && return
	compgen -G "$target/boot/vmlinuz-$series.*" >/dev/null && return
	[ -n "$apt_updated" ] || apt check
	# 6.12 is the kernel of bookworm's security suite under this name; 6.1 is bookworm's default.
	meta=linux-image-$series-amd64
	[ "$series" = 6.1 ] && meta=linux-image-amd64
	package=$(apt-cache depends "$meta" | sed -n "s/^ *Depends: \(linux-image-${series//./\\.}\..*\)/\1/p" | head -n 1)
	if [ -z "$package" ]; then
		echo "setup: no package $meta with a kernel $series; is bookworm-security among the apt sources?" >&2
		exit 1
	fi
	say "unpacking $package into $target"
	rm -rf "$target"
	mkdir -p "$target"
	(cd "$target" && apt -o APT::Sandbox::User=root download "$package")
	dpkg-deb -x "$target"/*.deb "$target"
	rm "$target"/*.deb
	depmod -b "$target" "$(basename "$target"/lib/modules/*)"
}

# stamp_of FILE: changes when what the environment is built from changes.
stamp_of() { sha256sum "$@" deploy/setup.sh | sha256sum | cut -d' ' -f1; }

make_environment() {
	local stamp have
	stamp=$(stamp_of pyproject.toml)
	have=$(cat .venv/.stamp 2>/dev/null || true)
	case "$have" in
	"$stamp $extras" | "$stamp .[dev]") return ;;	# a fuller environment serves a lesser purpose
	"$stamp .[vm]") [ "$extras" = . ] && return ;;
	esac
	say "building .venv"
	# Without our stamp it is somebody else's, perhaps of another Python, or was never finished: anew.
	[ -n "$have" ] || rm -rf .venv
	[ -x .venv/bin/python ] || "$python" -m venv --system-site-packages .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable "$extras"
	echo "$stamp $extras" >.venv/.stamp
}

# Receivers that we did not write, apart: their dependencies are none of ours.
make_receivers() {
	local stamp
	stamp=$(stamp_of deploy/receivers.txt)
	[ "$stamp" != "$(cat .venv-receivers/.stamp 2>/dev/null || true)" ] || return 0
	say "building .venv-receivers"
	"$python" -m venv --clear .venv-receivers
	.venv-receivers/bin/python -m pip install --quiet --disable-pip-version-check -r deploy/receivers.txt
	echo "$stamp" >.venv-receivers/.stamp
}

install_packages
for series in ${kernels[@]+"${kernels[@]}"}; do unpack_kernel "$series"; done
make_environment
case $purpose in test | accuracy) make_receivers ;; esac
