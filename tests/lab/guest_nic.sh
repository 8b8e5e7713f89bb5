# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# For guests of tests of emulated NICs: what each driver's guest does. DRIVER is the module, MTUS are
# those to try, SPEED is the link's. TRAFFIC_SECONDS is how long TCP and UDP run each way, instead of
# two seconds; that is then all that is tried.
# shellcheck source=guest/lib.sh
. /lib/test.sh
: "${DRIVER:?}" "${MTUS:=1500}" "${SPEED:=100}"
driver() { ethtool -i eth0 | grep -q "driver: $DRIVER"; }
link() { ethtool eth0 | grep -q "Speed: ${SPEED}Mb/s" && ethtool eth0 | grep -q 'Link detected: yes'; }
sizes() { # around every boundary
  for n in 18 19 46 47 100 210 211 494 495 1000 1001 1006 1471 1472 1473 2000 4000 9000 40000 65507; do
    ping -c 1 -W 3 -s $n 192.0.2.1 >/dev/null || { echo "size $n"; return 1; }
  done
}
mtu() {
  ip link set eth0 mtu "$1" && wait_for 10 ping -c 1 -W 1 -s $(($1 - 28)) 192.0.2.1
}
clean() { # no counter of errors moved, but those named
  if [ "$DRIVER" = e1000 ]; then
    n=$(ethtool -S eth0 | awk -F: '/error|drop|missed|no_buffer|timeout|fail/ { s += $2 } END { print s + 0 }')
    [ "$n" -eq 0 ] || { ethtool -S eth0; return 1; }
  fi
  for f in rx_errors tx_errors rx_dropped rx_crc_errors rx_fifo_errors rx_missed_errors tx_dropped collisions; do
    case " $* " in *" $f "*) continue ;; esac
    [ "$(cat /sys/class/net/eth0/statistics/$f)" -eq 0 ] || { ip -s -s link show eth0; return 1; }
  done
}
again() {
  rmmod "$DRIVER" && modprobe "$DRIVER" && wait_for 5 test -e /sys/class/net/eth0 &&
    address 192.0.2.2/24 && wait_for 10 ping -c 1 -W 1 192.0.2.1
}
udp() { iperf3 -c 192.0.2.1 -u -b 20M -t "${TRAFFIC_SECONDS:-2}" "$@"; }
both_ways() {
  check tcp-to mbits -c 192.0.2.1 -t "${TRAFFIC_SECONDS:-2}"
  check tcp-from mbits -c 192.0.2.1 -t "${TRAFFIC_SECONDS:-2}" -R
  check udp-both udp --bidir
}
basics() {
  check driver driver
  check address address 192.0.2.2/24
  check link wait_for 5 link
  check ping wait_for 5 ping -c 1 -W 1 192.0.2.1
  check sizes sizes
  check pings ping -q -A -c 300 192.0.2.1
  both_ways
  sleep 2 # some drivers read their counters every two seconds
  check clean clean
  [ -z "$TRAFFIC_SECONDS" ] || finish
}
vlan() {
  modprobe 8021q
  ip link add link eth0 name eth0.5 type vlan id 5
  check vlan-address address 198.51.100.2/24 eth0.5
  check vlan-ping wait_for 5 ping -c 1 -W 1 -s 1472 198.51.100.1
  check vlan-tcp mbits -c 198.51.100.1 -t 1
  check vlan-tcp-from mbits -c 198.51.100.1 -t 1 -R
}
modes() {
  check multicast ip maddress add 01:00:5e:01:02:03 dev eth0
  check promiscuous ip link set eth0 promisc on
  check ping-promiscuous wait_for 5 ping -c 1 -W 1 192.0.2.1
  ip link set eth0 promisc off
  mtus
}
# The other end's MTU; the host sees to it (nic_follow).
peer_mtu() { echo "mtu: $1"; sleep 0.5; }
mtus() {
  for n in $MTUS; do check "mtu-$n" mtu "$n"; done
}
# Every offload that the driver lets one change, switched while a stream runs each way: both streams
# go on, and so do fragments.
received() { cat /sys/class/net/eth0/statistics/rx_bytes; }
sent() { cat /sys/class/net/eth0/statistics/tx_bytes; }
moved() { [ $(($(received) - rx)) -gt 100000 ] && [ $(($(sent) - tx)) -gt 100000 ]; }
moves() {
  rx=$(received) tx=$(sent)
  wait_for 15 moved && ping -c 1 -W 5 -s 3000 192.0.2.1 >/dev/null
}
offloads() {
  iperf3 -c 192.0.2.1 -t 200 --bidir >/dev/null &
  load=$!
  failed=
  for o in $(ethtool -k eth0 | sed -n '/fixed/d; s/^[ \t]*\([a-z0-9-]*\): .*/\1/p'); do
    for v in off on; do
      ethtool -K eth0 "$o" $v 2>/dev/null || continue
      moves || failed="$failed $o:$v"
    done
  done
  kill $load
  wait $load
  [ -z "$failed" ] || { echo "$failed"; ethtool -k eth0; return 1; }
}
# The cable is pulled in mid-traffic; the host sees to it (nic_follow).
carrier() { [ "$(cat /sys/class/net/eth0/carrier)" = "$1" ]; }
cable() {
  iperf3 -c 192.0.2.1 -t 60 >/dev/null 2>&1 &
  load=$!
  sleep 1
  for i in 1 2; do
    echo "cable: out"
    check "cable-out-$i" wait_for 20 carrier 0
    echo "cable: in"
    check "cable-in-$i" wait_for 20 carrier 1
    check "cable-ping-$i" wait_for 20 ping -c 1 -W 1 192.0.2.1
  done
  kill $load
  wait $load
  sleep 1
}
# The driver goes and comes in mid-traffic.
reload() {
  iperf3 -c 192.0.2.1 -t 100 -R >/dev/null 2>&1 &
  load=$!
  sleep 1
  for i in 1 2 3; do check "again-$i" again; done
  for i in 1 2 3; do ip link set eth0 down; ip link set eth0 up; done
  check down-up wait_for 10 ping -c 1 -W 1 192.0.2.1
  kill $load
  wait $load
}
# TCP works after a stream was cut off, once the server has noticed that.
tcp_after() { wait_for 30 iperf3 -c 192.0.2.1 -t 1 "$@"; }
# The machine is reset in mid-traffic: no driver has stopped the chip. The guest's second life is told
# by a byte of the clock's memory, which a reset leaves alone.
nvram=/sys/bus/nvmem/devices/cmos_nvram0/nvmem
first_life() { [ "$(dd if=$nvram bs=1 skip=80 count=1 2>/dev/null)" != x ]; }
reset_in_traffic() {
  printf x | dd of=$nvram bs=1 seek=80 conv=notrunc 2>/dev/null
  wait_for 15 iperf3 -c 192.0.2.1 -n 100K
  iperf3 -c 192.0.2.1 -t 20 --bidir >/dev/null &
  sleep 1
  echo "reset: now"
  echo 1 >/proc/sys/kernel/sysrq
  echo b >/proc/sysrq-trigger
  sleep 30
  exit 1
}
second_life() {
  check reset-address address 192.0.2.2/24
  check reset-ping wait_for 10 ping -c 1 -W 1 192.0.2.1
  check reset-tcp tcp_after --bidir
}
