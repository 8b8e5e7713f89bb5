# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What guests talk to, and what is counted while they do. Sourced by lib.sh.
# Tests run in a network namespace of their own (see run-all), so names and
# addresses are free to choose, and what is left behind goes with it.
: "${test_dir:?net.sh is sourced by lib.sh}"

# tap_setup TAP [ADDRESS/LENGTH] [tap-options…]: a TAP that the VMM may attach to,
# with an address for this host (192.0.2.1/24) and an IPv6 one (2001:db8::1/64).
# Options are those of `ip tuntap`, such as multi_queue or `user NAME`.
tap_setup() {
  local tap=$1 address=${2:-192.0.2.1/24}
  ip tuntap add dev "$tap" mode tap vnet_hdr "${@:3}"
  defer ip link del "$tap"
  ip address add "$address" dev "$tap"
  [[ -n ${2:-} ]] || ip address add 2001:db8::1/64 dev "$tap" nodad
  ip link set "$tap" up
}

# bridge_setup BRIDGE [ADDRESS/LENGTH]
bridge_setup() {
  ip link add "$1" type bridge
  defer ip link del "$1"
  [[ -z ${2:-} ]] || ip address add "$2" dev "$1"
  ip link set "$1" up
}

# peer_setup NAMESPACE BRIDGE ADDRESS/LENGTH: a host of its own on the bridge.
peer_setup() {
  ip netns add "$1"
  defer ip netns del "$1"
  ip link add "$1-up" type veth peer name eth0 netns "$1"
  ip link set "$1-up" master "$2" up
  ip -n "$1" link set lo up
  ip -n "$1" address add "$3" dev eth0
  ip -n "$1" link set eth0 up
}

# in_background COMMAND…: until the test ends; sets background_pid.
in_background() {
  "$@" </dev/null >>"$test_dir/background.log" 2>&1 &
  background_pid=$!
  defer kill "$background_pid"
}

# wait_for SECONDS COMMAND…: until it succeeds.
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.05
  done
}

# listening PORT [NAMESPACE]
listening() { ${2:+ip netns exec "$2"} ss -Hln "sport = :$1" | grep -q .; }

# iperf_server [NAMESPACE] [ARGUMENT…]: iperf3 on its usual port.
iperf_server() {
  local prefix=()
  [[ -z ${1:-} ]] || prefix=(ip netns exec "$1")
  in_background "${prefix[@]}" iperf3 -s "${@:2}"
  wait_for 10 listening 5201 "${1:-}"
}

# iperf_anew: the server again. A guest that ended in the middle of a test leaves it busy.
iperf_pid=
iperf_anew() {
  if [[ -n $iperf_pid ]]; then
    kill "$iperf_pid"
    wait "$iperf_pid" 2>/dev/null
  fi
  iperf_server ''
  iperf_pid=$background_pid
}

# ovs_database: one of Open vSwitch's, of this test's own, where its programs find it.
ovs_database() {
  export OVS_RUNDIR=$test_dir OVS_LOGDIR=$test_dir OVS_DBDIR=$test_dir
  ovsdb-tool create "$test_dir/conf.db" /usr/share/openvswitch/vswitch.ovsschema || return 1
  in_background ovsdb-server "--remote=punix:$test_dir/db.sock" "$test_dir/conf.db"
  wait_for 20 ovs-vsctl --timeout=60 --no-wait init
}

# http_server DIRECTORY PORT [NAMESPACE]: busybox's, which is up at once.
http_server() {
  local prefix=()
  [[ -z ${3:-} ]] || prefix=(ip netns exec "$3")
  in_background "${prefix[@]}" busybox httpd -f -p "$2" -h "$1"
  wait_for 10 listening "$2" "${3:-}"
}

# kvm_counters: all of KVM's counters, one "name value" a line, summed over the
# guests that are alive: take them before a guest ends.
kvm_counters() {
  local f
  for f in /sys/kernel/debug/kvm/*; do
    [[ ! -f $f ]] || printf '%s %s\n' "${f##*/}" "$(<"$f")"
  done
}

# kvm_delta BEFORE AFTER NAME: the difference between two files of those.
kvm_delta() {
  awk -v name="$3" '$1 == name { v[NR == FNR] = $2 } END { print v[0] - v[1] }' "$1" "$2"
}

# resident_kib PID: memory that the process has in RAM, shared and not, in KiB.
resident_kib() { awk '/^Rss:/ { s += $2 } END { print s + 0 }' "/proc/$1/smaps_rollup"; }
