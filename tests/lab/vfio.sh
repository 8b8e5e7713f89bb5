# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For the tests with a NIC of the host's own, an SR-IOV one at $VFIO_PF, in the host's namespaces.
# Sourced after lib.sh; ends the test where there is none.
: "${test_dir:?vfio.sh is sourced after lib.sh}"

pf=${VFIO_PF:-0000:01:00.0}
pci=/sys/bus/pci/devices
ctl=$(dirname "$VIADUCT")/viaductctl
# shellcheck disable=SC2034 # for lib.sh
guest_memory=192M
if [[ ! -e $pci/$pf ]]; then
  skip all "this host has no SR-IOV NIC at $pf"
  exit 0
fi
modprobe -a igb vfio-pci
if [[ ! -e $pci/$pf/iommu_group ]]; then
  skip all 'this host has no IOMMU'
  exit 0
fi
# As a test that was cut off may have left it.
"$ctl" sriov unbind "$pf" >/dev/null 2>&1
"$ctl" sriov destroy "$pf" >/dev/null 2>&1
wait_for 10 test -d "$pci/$pf/net"
# shellcheck disable=SC2034 # for the tests
dev=$(ls "$pci/$pf/net")

# What guests have in common.
# shellcheck disable=SC2016,SC2034 # expanded by the guest; for the tests
guest_nic='
. /lib/test.sh
driver() { ethtool -i "${2:-eth0}" | grep -q "driver: $1\$"; }
irqs() { awk "/${1:-eth0}/ { for (i = 2; i <= NF && \$i ~ /^[0-9]+\$/; i++) s += \$i } END { print s + 0 }" /proc/interrupts; }
counted() { [ "$(irqs "$1")" -gt 20 ] || { cat /proc/interrupts; return 1; }; }
# counting NAME ADDRESS SECONDS [ARGUMENT…]: TCP, with what it was in numbers.
counting() {
  name=$1 to=$2 seconds=$3
  shift 3
  before=$(irqs)
  check "$name" mbits -c "$to" -t "$seconds" "$@"
  echo "count: $name: $seconds s, $(tail -n 1 /tmp/check.out) Mb/s, $(($(irqs) - before)) interrupts"
}
'
# show_counts NAME: what they were, for people.
show_counts() { guest_log "$1" | sed -n 's/^count:/   /p'; }

refused() { # NAME PATTERN [OPTION…] -- VMM-ARGUMENT…: status 3 and the message
  local name=$1 pattern=$2
  shift 2
  guest_start "$name" --timeout 30 "$@" </dev/null
  guest_wait "$name" || true
  # shellcheck disable=SC2154 # guest_wait sets it
  if ((guest_vmm_status == 3)) && grep -qE "$pattern" "$test_dir/$name.vmm"; then
    ok "$name"
  else
    not_ok "$name" "status $guest_vmm_status: $(<"$test_dir/$name.vmm")"
  fi
}

# says NAME STATUS PATTERN [--as WRAP] ARGUMENT…: what viaductctl sriov answers.
says() {
  local name=$1 want=$2 pattern=$3 status=0 as=()
  shift 3
  if [[ $1 == --as ]]; then
    read -ra as <<<"$2"
    shift 2
  fi
  "${as[@]}" "$ctl" sriov "$@" >"$test_dir/$name.said" 2>&1 || status=$?
  if ((status == want)) && tr '\n' ' ' <"$test_dir/$name.said" | grep -qE -- "$pattern"; then
    ok "$name"
  else
    not_ok "$name" "status $status: $(<"$test_dir/$name.said")"
  fi
}
