# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# For test scripts inside a guest: . /lib/test.sh
# The results are lines that tests/lab/lib.sh picks out of the serial log.

# check NAME COMMAND…: runs it; its output is shown only if it fails. The worst
# of all results is what `finish` exits with.
failures=0
check() {
  check_name=$1
  shift
  if "$@" >/tmp/check.out 2>&1; then
    echo "ok $check_name"
  else
    echo "not ok $check_name: exit status $?: $*"
    cat /tmp/check.out
    failures=$((failures + 1))
  fi
}

finish() {
  exit $((failures > 0))
}

# wait_for SECONDS COMMAND…: until it succeeds.
wait_for() {
  tries=$(($1 * 10))
  shift
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || return 1
    usleep 100000
  done
}

# nic DRIVER: the name of the interface that it drives; names come in the order of probing.
nic() {
  for nic in /sys/class/net/*; do
    [ "$(basename "$(readlink "$nic/device/driver")")" != "$1" ] || basename "$nic"
  done
}

# dhcp [INTERFACE]: an address by DHCP.
dhcp() {
  ip link set "${1:-eth0}" up
  udhcpc -i "${1:-eth0}" -q -n -t 10 -T 1
}

# address ADDRESS/LENGTH [INTERFACE]: a fixed one, IPv4 or IPv6, usable at once.
address() {
  case $1 in
  *:*) ip address add "$1" dev "${2:-eth0}" nodad ;;
  *) ip address add "$1" dev "${2:-eth0}" ;;
  esac
  ip link set "${2:-eth0}" up
}

# mbits COMMAND…: runs iperf3 with the arguments and prints the received Mb/s. Its server turns away
# who comes while it clears up after the last: then once more.
mbits() {
  for _ in 1 2 3; do
    mbits_said=$(iperf3 -f m "$@" 2>&1)
    case $mbits_said in
      *'unable to receive control message'* | *'server is busy'*) sleep 1 ;;
      *) break ;;
    esac
  done
  printf '%s\n' "$mbits_said" | awk '
    /receiver/ { for (i = 2; i <= NF; i++) if ($i ~ /bits\/sec/) v = $(i - 1) }
    { all = all $0 "\n" }
    END { if (v == "") { printf "%s", all > "/dev/stderr"; exit 1 } print v }'
}
