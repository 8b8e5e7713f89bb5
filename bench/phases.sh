# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the measurements of a network have in common: the phases that a guest goes through, what is
# noted of each, and the table. Sourced after bench/lib.sh.

: "${test_dir:?phases.sh is sourced after lib.sh}"
seconds=${SECONDS_EACH:-4}
pings=500
# What a cost is divided by: a frame, as the interface counts them, or a packet of the payload, for
# contestants whose interfaces count differently.
cost_unit=frame
mss=1448

# A value under a name; of: the median of those noted.
of() {
  # shellcheck disable=SC2086 # a list
  median ${values[$1]:-0}
}

line() { printf '| %s |' "$1"; printf ' %s |' "${@:2}"; echo; }

phases=(idle tcp-to tcp-from udp-to udp-from latency)

# phases_script: what the guest runs; it has 192.0.2.2, its peer 192.0.2.1.
phases_script() {
  cat <<GUEST
. /lib/test.sh
address 192.0.2.2/24
wait_for 20 ping -c 1 -W 1 192.0.2.1
iperf3 -c 192.0.2.1 -t 1 >/dev/null
phase() { echo "phase \$1 begin"; shift; sleep 0.5; "\$@" >/tmp/out 2>/tmp/err; sleep 0.5; }
pps() { iperf3 -c 192.0.2.1 -u -b 0 -l 64 -t $seconds "\$@" | awk '/receiver/ { for (i = 2; i <= NF; i++) if (\$i ~ /^[0-9]+\\/[0-9]+\$/) { split(\$i, a, "/"); print int((a[2] - a[1]) / $seconds) } }'; }
rtt() { ping -q -c $pings -i 0.002 192.0.2.1 | awk -F/ '/^rtt/ { print \$5 } /^round-trip/ { print \$4 }'; }
phase idle sleep 2; echo "phase idle end 0"
phase tcp-to mbits -c 192.0.2.1 -t $seconds; echo "phase tcp-to end \$(cat /tmp/out)"
phase tcp-from mbits -c 192.0.2.1 -t $seconds -R; echo "phase tcp-from end \$(cat /tmp/out)"
phase udp-to pps; echo "phase udp-to end \$(cat /tmp/out)"
phase udp-from pps -R; echo "phase udp-from end \$(cat /tmp/out)"
phase latency rtt; echo "phase latency end \$(cat /tmp/out)"
# Until what was counted has been read: phases_measure ends the guest.
sleep 60
GUEST
}

# costs_of PHASE: how many of the cost's unit went by in it.
costs_of() {
  local result=${phase_result:-0}
  case $cost_unit-$1 in
    packet-tcp-*) awk -v m="$result" -v s="$seconds" -v b=$mss 'BEGIN { printf "%d\n", m * 1e6 / 8 * s / b }' ;;
    packet-udp-*) echo $((result * seconds)) ;;
    packet-latency) echo $((2 * pings)) ;;
    *) counted "$1" frames ;;
  esac
}

# measured WHO ROUND: whether its figures of so many rounds are there already, with KEEP=yes.
measured() { (($(wc -w <<<"${values["$1 latency"]:-}") >= $2)); }

# phases_measure GUEST TAP WHO: follows the guest through them, notes it all under WHO, and ends it.
phases_measure() {
  local guest=$1 tap=$2 who=$3 name units
  for name in "${phases[@]}"; do
    phase "$guest" "$name" "$tap" || { guest_show "$guest"; break; }
    note "$who $name" "${phase_result:-0}"
    [[ $phase_late == no ]] || continue
    units=$(costs_of "$name")
    note "$who $name-exits" "$(per "$(counted "$name" exits)" "$units")"
    note "$who $name-user-exits" "$(per $(($(counted "$name" mmio_exits) + $(counted "$name" io_exits))) "$units")"
    note "$who $name-irqs" "$(per "$(counted "$name" irq_injections)" "$units")"
    note "$who $name-syscalls" "$(per "$(counted "$name" syscalls)" "$units")"
    note "$who $name-frames" "$(counted "$name" frames)"
  done
  guest_stop "$guest" KILL
}

declare -A phase_title=([tcp-to]='TCP guest to host, Mb/s' [tcp-from]='TCP host to guest, Mb/s'
  [udp-to]='UDP 64 B guest to host, packets/s' [udp-from]='UDP 64 B host to guest, packets/s'
  [latency]='ping every 2 ms, average, ms')

# phases_table WHO…: the lines of all phases; the last column is the first WHO over the second.
phases_table() {
  local name cost who row
  for name in tcp-to tcp-from udp-to udp-from latency; do
    for cost in '' -exits -user-exits -irqs -syscalls; do
      row=()
      for who in "$@"; do
        row+=("$(of "$who $name$cost")")
      done
      row+=("$(ratio "${row[0]}" "${row[1]:-0}")")
      if [[ -z $cost ]]; then
        line "${phase_title[$name]}" "${row[@]}"
      else
        line "— ${cost#-} a $cost_unit" "${row[@]}"
      fi
    done
  done
}
