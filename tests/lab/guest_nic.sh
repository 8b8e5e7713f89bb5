# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# For guests of tests of emulated 100 Mb/s NICs: what each driver's guest does. DRIVER is the
# module, MTUS are those to try.
# shellcheck source=guest/lib.sh
. /lib/test.sh
: "${DRIVER:?}" "${MTUS:?}"
driver() { ethtool -i eth0 | grep -q "driver: $DRIVER"; }
link() { ethtool eth0 | grep -q 'Speed: 100Mb/s' && ethtool eth0 | grep -q 'Link detected: yes'; }
sizes() {
  for n in 18 19 46 47 100 211 495 1000 1001 1006 1471 1472 1473 2000 4000 9000 40000 65507; do
    ping -c 1 -W 3 -s $n 192.0.2.1 >/dev/null || { echo "size $n"; return 1; }
  done
}
mtu() {
  ip link set eth0 mtu "$1" && wait_for 10 ping -c 1 -W 1 -s $(($1 - 28)) 192.0.2.1
}
clean() { # no counter of errors moved
  for f in rx_errors tx_errors rx_dropped rx_crc_errors rx_fifo_errors rx_missed_errors tx_dropped collisions; do
    [ "$(cat /sys/class/net/eth0/statistics/$f)" -eq 0 ] || { ip -s -s link show eth0; return 1; }
  done
}
again() {
  rmmod "$DRIVER" && modprobe "$DRIVER" && wait_for 5 test -e /sys/class/net/eth0 &&
    address 192.0.2.2/24 && wait_for 10 ping -c 1 -W 1 192.0.2.1
}
both_ways() {
  check tcp-to mbits -c 192.0.2.1 -t 2
  check tcp-from mbits -c 192.0.2.1 -t 2 -R
  check udp-to iperf3 -c 192.0.2.1 -u -b 20M -t 1
  check udp-from iperf3 -c 192.0.2.1 -u -b 20M -t 1 -R
}
basics() {
  check driver driver
  check address address 192.0.2.2/24
  check link wait_for 5 link
  check ping wait_for 5 ping -c 1 -W 1 192.0.2.1
  check sizes sizes
  check pings ping -q -A -c 300 192.0.2.1
  both_ways
  check clean clean
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
  for n in $MTUS; do check "mtu-$n" mtu "$n"; done
}
# The cable is pulled in mid-traffic; the host sees to it (cable_follow).
carrier() { [ "$(cat /sys/class/net/eth0/carrier)" = "$1" ]; }
cable() {
  iperf3 -c 192.0.2.1 -t 60 >/dev/null 2>&1 &
  load=$!
  sleep 1
  for i in 1 2 3; do
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
reload() {
  iperf3 -c 192.0.2.1 -t 30 -R >/dev/null 2>&1 &
  sleep 1
  for i in 1 2 3; do check "again-$i" again; done
  for i in 1 2 3; do ip link set eth0 down; ip link set eth0 up; done
  check down-up wait_for 10 ping -c 1 -W 1 192.0.2.1
}
