# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the tests of emulated NICs have in common, on the host's side (guest_nic.sh: the guest's).
# Sourced after lib.sh.
#
#   PARTS='traffic user'  only the parts whose name matches one of these patterns (`part NAME`)
#   TRAFFIC_SECONDS=60    how long TCP and UDP run each way, instead of two seconds; nothing else
#                         of those guests' is tried then

: "${test_dir:?nic.sh is sourced after lib.sh}"
read -ra nic_parts <<<"${PARTS:-*}"
nic_guest=$test_dir/nic.sh
{
  echo "TRAFFIC_SECONDS=${TRAFFIC_SECONDS:-}"
  cat "$TEST_ROOT/tests/lab/guest_nic.sh"
} >"$nic_guest"

# part NAME: whether it is wanted.
part() {
  local pattern
  for pattern in "${nic_parts[@]}"; do
    # shellcheck disable=SC2053 # a pattern
    [[ $1 != $pattern ]] || return 0
  done
  return 1
}

# nic_follow NAME: does what guest NAME asks for on its console: "cable: out" and "cable: in" plug the
# cable of its NIC, "mtu: N" is the TAP's. Its VMM needs --api-socket "$test_dir/NAME.api".
# shellcheck disable=SC2016 # expanded in there
nic_follow() {
  in_background bash -c '
    tail -n 0 -F "$1.log" 2>/dev/null | while read -r word what; do
      what=${what%%[^a-z0-9]*} # the carriage return
      case "$word $what" in
      "cable: in") "$2" --api-socket "$1.api" net link net0 up ;;
      "cable: out") "$2" --api-socket "$1.api" net link net0 down ;;
      "mtu: "*) ip link set tap0 mtu "$what" ;;
      esac
    done' bash "$test_dir/$1" "$(dirname "$VIADUCT")/viaductctl"
}

# nic_test NAME KERNEL SECONDS NET: a guest on tap0 that has guest_nic.sh as /nic.sh, may ask for what
# nic_follow does, and may reboot. One that says "reset: now" must come back.
nic_test() {
  iperf_anew
  ip link set tap0 mtu 1500
  nic_follow "$1"
  guest_test "$1" --kernel "$2" --timeout $(($3 + 4 * ${TRAFFIC_SECONDS:-0})) \
    --reboots --file "$nic_guest:/nic.sh" -- \
    --net "$4,backend=tap,ifname=tap0" --api-socket "$test_dir/$1.api"
  # What failed before the reset is not in the script's exit status.
  ! guest_said "$1" '^not ok ' || guest_log "$1" | sed -n '/^not ok /,/^ok /p'
}

# nic_user KERNEL DRIVER NET: over user networking.
nic_user() {
  part user || return 0
  iperf_anew
  guest_test "user-$1" --kernel "$1" --file "$nic_guest:/nic.sh" -- --net "$3,backend=user" <<GUEST
DRIVER=$2
. /nic.sh
check driver driver
check dhcp dhcp
check ping ping -c 3 -W 2 10.0.2.2
check tcp-to mbits -c 10.0.2.2 -t 1
check tcp-from mbits -c 10.0.2.2 -t 1 -R
check clean clean
finish
GUEST
}
