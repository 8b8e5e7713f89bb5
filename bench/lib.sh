# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For the benchmarks: guests as in tests/lab, phases that a guest announces, and counters around
# them. Every figure is the median of the rounds; peers alternate within a round, so that what else
# the machine does hits both.
#
#   . "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# shellcheck source=tests/lab/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tests/lab/lib.sh"

# shellcheck disable=SC2034 # for those who source this
rounds=${ROUNDS:-5}

# note KEY VALUE: a figure. All are in a file, too, so that those of an emulated host that died are
# not lost: KEEP=yes goes on from them.
declare -A values
notes=${LAB_OUT:-$test_dir}/bench-$test_name.notes
[[ ${KEEP:-no} == yes ]] || rm -f "$notes"
if [[ -f $notes ]]; then
  while IFS=$'\t' read -r key value; do values[$key]+=" $value"; done <"$notes"
fi
note() {
  values[$1]+=" $2"
  printf '%s\t%s\n' "$1" "$2" >>"$notes"
}

# median VALUE…
median() {
  printf '%s\n' "$@" | sort -g | awk '
    { v[NR] = $1 }
    END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# ratio A B: A/B to two places.
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b + 0) printf "%.2f\n", a / b; else print "-" }'; }

# per A B: A/B to three places.
per() { awk -v a="$1" -v b="$2" 'BEGIN { if (b + 0) printf "%.3f\n", a / b; else print "-" }'; }

# --- system calls, by thread, without slowing what is counted: a histogram in the kernel

trace=/sys/kernel/tracing
syscalls_start() {
  mountpoint -q $trace || mount -t tracefs tracefs $trace
  echo "$syscalls_hist" >$trace/events/raw_syscalls/sys_enter/trigger
  defer sh -c "echo '!$syscalls_hist' >$trace/events/raw_syscalls/sys_enter/trigger"
}

# The table takes no more threads once it is full, so each phase begins with an empty one.
syscalls_hist=hist:keys=common_pid:size=16384
syscalls_clear() {
  [[ ! -s $trace/events/raw_syscalls/sys_enter/trigger ]] ||
    echo "$syscalls_hist:clear" >$trace/events/raw_syscalls/sys_enter/trigger
}

# syscalls_of PID: calls of all its threads so far.
syscalls_of() {
  awk -v tids="$(ls "/proc/$1/task")" '
    BEGIN { n = split(tids, t); for (i = 1; i <= n; i++) want[t[i]] = 1 }
    /common_pid:/ { gsub(/[{},]/, ""); pid = hit = 0
      for (i = 1; i <= NF; i++) { if ($i == "common_pid:") pid = $(i + 1)
                                  if ($i == "hitcount:") hit = $(i + 1) }
      if (pid in want) sum += hit }
    END { print sum + 0 }' $trace/events/raw_syscalls/sys_enter/hist
}

# tap_frames TAP: frames that crossed it, both ways.
tap_frames() {
  local d=/sys/class/net/$1/statistics
  echo $(($(<"$d/rx_packets") + $(<"$d/tx_packets")))
}

# cpu_ticks PID: processor time of the process, and of the kernel threads named vhost-PID.
cpu_ticks() {
  local p sum=0
  for p in "$1" $(pgrep -f "^\[?vhost-$1" || true); do
    sum=$((sum + $(awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$p/stat")))
  done
  echo $sum
}

# snapshot FILE PID TAP: everything that is counted, as "name value" lines.
snapshot() {
  {
    kvm_counters
    echo "syscalls $(syscalls_of "$2")"
    echo "frames $(tap_frames "$3")"
    echo "ticks $(cpu_ticks "$2")"
    echo "time ${EPOCHREALTIME/./}"
  } >"$1"
}

# phase GUEST PHASE TAP: waits for the guest to announce the phase and its end ("phase NAME begin",
# "phase NAME end RESULT"), counts in between; leaves $test_dir/PHASE.before and .after and sets
# phase_result. A host that is so busy that the phase is over when it begins to count says so, and
# sets phase_late.
phase() {
  local guest=$1 name=$2 tap=$3
  guest_expect "$guest" "^phase $name begin" 60 || return
  syscalls_clear
  snapshot "$test_dir/$name.before" "${guest_pid[$guest]}" "$tap"
  phase_late=no
  if guest_said "$guest" "^phase $name end"; then
    phase_late=yes
    echo "# $guest, $name: over before it was counted" >&2
  fi
  guest_expect "$guest" "^phase $name end" 60 || return
  snapshot "$test_dir/$name.after" "${guest_pid[$guest]}" "$tap"
  # shellcheck disable=SC2034 # likewise
  phase_result=$(guest_log "$guest" | sed -n "s/^phase $name end //p")
}

# counted PHASE NAME: how far the counter went in the phase.
counted() { kvm_delta "$test_dir/$1.before" "$test_dir/$1.after" "$2"; }
