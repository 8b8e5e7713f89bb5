# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For tests with real guests, run in the lab or on a host with KVM, as root:
#
#   . "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
#   guest_test NAME [OPTION…] [-- VMM-ARGUMENT…] <<'GUEST'
#   . /lib/test.sh
#   check dhcp dhcp eth0
#   finish
#   GUEST
#
# Each result is one line: "ok NAME", "not ok NAME: reason", "skip NAME: reason";
# all else is for people. Lines of that form that a guest prints on its console
# count too, with the guest's name before theirs. See tests/lab/README.md.
#
# Guests are known by name. All of one's files are $test_dir/NAME.*: .log is the
# serial console, .vmm what the VMM said.

TEST_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TEST_IMAGES=${VIADUCT_BUILD:-$TEST_ROOT/build}/images
VIADUCT=${VIADUCT:-${VIADUCT_BUILD:-$TEST_ROOT/build}/viaduct}
test_name=$(basename "$0" .test)
test_dir=$(mktemp -d)

# --- results

ok() { echo "ok $test_name/$1"; }
not_ok() { echo "not ok $test_name/$1: ${*:2}"; }
skip() { echo "skip $test_name/$1: ${*:2}"; }

# expect NAME COMMAND…: ok if it succeeds; its output is shown if it does not.
expect() {
  local name=$1 status=0
  shift
  "$@" >"$test_dir/expect" 2>&1 || status=$?
  if ((status == 0)); then
    ok "$name"
  else
    not_ok "$name" "exit status $status: $*"
    sed 's/^/    /' "$test_dir/expect"
  fi
  return "$status"
}

# --- cleaning up: `defer COMMAND…` runs it when the test ends, the last first

deferred=()
defer() { deferred+=("$(printf '%q ' "$@")"); }

test_clean_up() {
  local i name
  for ((i = ${#deferred[@]} - 1; i >= 0; i--)); do
    eval "${deferred[i]}" >/dev/null 2>&1 || true
  done
  for name in "${!guest_pid[@]}"; do
    guest_stop "$name" KILL
  done
  if [[ -n ${LAB_OUT:-} ]]; then
    mkdir -p "$LAB_OUT/$test_name"
    cp "$test_dir"/*.log "$test_dir"/*.vmm "$LAB_OUT/$test_name/" 2>/dev/null || true
  fi
  rm -rf "$test_dir"
}
trap test_clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- guests

declare -A guest_pid guest_start_time guest_limit
guest_cpus=1
guest_memory=512M
# The image that needs no unpacking: on an emulated host that spares seconds.
guest_boot=elf

# guest_start NAME [OPTION…] [-- VMM-ARGUMENT…]: starts a guest in the background;
# its test script is standard input (none from a terminal or /dev/null: a shell).
#   --kernel 6.1|6.12 (6.12)     --boot bzimage|elf (elf)
#   --cpus N (1)                 --memory SIZE (512M)
#   --append TEXT                more of the kernel command line
#   --file FILE[:PATH]           a file to put into the guest (repeatable)
#   --timeout SECONDS (120)      for guest_wait
#   --timed                      note when each console line came (guest_time_of)
#   --reboots                    Viaduct goes on when the guest reboots, instead of ending
#   --vmm viaduct|qemu           which VMM; its arguments are its own
#   --wrap COMMAND               a prefix for the VMM, e.g. "strace -c -o FILE"
guest_start() {
  local name=$1 kernel=6.12 boot=$guest_boot cpus=$guest_cpus memory=$guest_memory append=
  local timeout=120 timed=no reboots=(--no-reboot) vmm=viaduct wrap=() files=() image initrd log serial
  shift
  while (($#)) && [[ $1 != -- ]]; do
    case $1 in
      --timed)
        timed=yes
        shift
        continue
        ;;
      --reboots)
        reboots=()
        shift
        continue
        ;;
      --kernel) kernel=$2 ;;
      --boot) boot=$2 ;;
      --cpus) cpus=$2 ;;
      --memory) memory=$2 ;;
      --append) append=$2 ;;
      --file) files+=("$2") ;;
      --timeout) timeout=$2 ;;
      --vmm) vmm=$2 ;;
      --wrap) read -ra wrap <<<"$2" ;;
      *)
        echo "guest_start: unknown option $1" >&2
        return 2
        ;;
    esac
    shift 2
  done
  [[ ${1:-} != -- ]] || shift

  case $boot in
    bzimage) image=$TEST_IMAGES/linux-$kernel/vmlinuz ;;
    elf) image=$TEST_IMAGES/linux-$kernel/vmlinux ;;
  esac
  initrd=$TEST_IMAGES/guest-$kernel.img
  if [[ -p /dev/stdin || -f /dev/stdin ]]; then
    cat >"$test_dir/$name.script"
    if [[ -s $test_dir/$name.script ]]; then
      "$TEST_ROOT/guest/pack" "$initrd" "$test_dir/$name.img" "$test_dir/$name.script" "${files[@]}" || return 1
      initrd=$test_dir/$name.img
    fi
  fi

  log=$test_dir/$name.log
  serial=$log
  rm -f "$log" "$log.times"
  : >"$log"
  if [[ $timed == yes ]]; then
    # A reader that stamps each line as it comes, instead of polling a file.
    serial=$test_dir/$name.fifo
    rm -f "$serial"
    mkfifo "$serial"
    while IFS= read -r line || [[ -n $line ]]; do
      printf '%s %s\n' "$EPOCHREALTIME" "$line" >&3
      printf '%s\n' "$line"
    done <"$serial" >>"$log" 3>"$log.times" &
  fi

  local words="console=ttyS0 quiet panic=-1 $append" command
  case $vmm in
    viaduct)
      command=("$VIADUCT" --kernel "$image" --initrd "$initrd" --cmdline "$words" --cpus "$cpus"
        --memory "$memory" --serial "file=$serial" "${reboots[@]}" "$@")
      ;;
    qemu)
      command=(qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot
        -enable-kvm -cpu host -M pc -smp "$cpus" -m "$memory" -kernel "$image" -initrd "$initrd"
        -append "$words" -serial "file:$serial" "$@")
      ;;
  esac
  guest_start_time[$name]=$EPOCHREALTIME
  guest_limit[$name]=$timeout
  "${wrap[@]}" "${command[@]}" </dev/null >"$test_dir/$name.vmm" 2>&1 &
  guest_pid[$name]=$!
}

# guest_wait NAME [SECONDS]: until the VMM ends. Sets guest_vmm_status to its exit
# status; returns the guest script's, or 124 after a timeout (which ends the
# VMM), or 125 if the guest ended without having said its status.
guest_wait() {
  local name=$1 limit=${2:-${guest_limit[$1]}} pid=${guest_pid[$1]} status
  local end=$((SECONDS + limit))
  while kill -0 "$pid" 2>/dev/null; do
    if ((SECONDS >= end)); then
      echo "    $name: no end after $limit s" >&2
      guest_stop "$name" KILL
      return 124
    fi
    sleep 0.05
  done
  guest_vmm_status=0
  wait "$pid" || guest_vmm_status=$?
  unset "guest_pid[$name]"
  status=$(tr -d '\r' <"$test_dir/$name.log" | sed -n 's/^viaduct-guest: exit \([0-9]*\)$/\1/p' | tail -n 1)
  return "${status:-125}"
}

# guest_stop NAME [SIGNAL]: SIGTERM (the guest is asked to power off) or another;
# waits for the VMM and sets guest_vmm_status.
guest_stop() {
  local pid=${guest_pid[$1]:-}
  [[ -n $pid ]] || return 0
  kill "-${2:-TERM}" "$pid" 2>/dev/null || true
  if [[ ${2:-TERM} != KILL ]]; then
    local end=$((SECONDS + 20))
    while kill -0 "$pid" 2>/dev/null && ((SECONDS < end)); do
      sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null || true
  fi
  guest_vmm_status=0
  # Not to have bash say "Killed".
  wait "$pid" 2>/dev/null || guest_vmm_status=$?
  unset "guest_pid[$1]"
}

# guest_log NAME: its console, without carriage returns.
guest_log() { tr -d '\r' <"$test_dir/$1.log"; }

# guest_said NAME REGEX: whether its console has such a line. Not grep -q, which would end the pipe
# before all of the log has gone through it.
guest_said() { (($(guest_log "$1" | grep -cE -- "$2"))); }

# guest_expect NAME REGEX [SECONDS]: until its console has such a line.
guest_expect() {
  local end=$((SECONDS + ${3:-60}))
  until guest_said "$1" "$2"; do
    if ((SECONDS >= end)) || ! kill -0 "${guest_pid[$1]}" 2>/dev/null; then
      guest_said "$1" "$2" && return 0
      echo "    $1: no line '$2' on its console" >&2
      return 1
    fi
    sleep 0.05
  done
}

# guest_time_of NAME REGEX: seconds from the start of the VMM to the first such
# line, for a guest started with --timed.
guest_time_of() {
  awk -v start="${guest_start_time[$1]}" -v regex="$2" '
    { t = $1; sub(/^[^ ]* /, "") }
    $0 ~ regex { printf "%.3f\n", t - start; found = 1; exit }
    END { exit !found }' "$test_dir/$1.log.times"
}

# guest_init NAME: when its init started, by its own clock.
guest_init() { guest_log "$1" | sed -n 's/^viaduct-guest: init at \([0-9.]*\) s$/\1/p' | head -n 1; }

# The result lines that a guest printed, with its name before theirs.
guest_results() {
  guest_log "$1" | sed -nE "s,^(ok|not ok|skip) (.*),\1 $test_name/$1/\2,p"
}

# guest_run NAME [OPTION…] [-- VMM-ARGUMENT…]: guest_start, guest_wait, and the
# guest's own result lines; returns as guest_wait does.
guest_run() {
  local status=0
  guest_start "$@" || return
  guest_wait "$1" || status=$?
  guest_results "$1"
  return "$status"
}

# qemu_run: the same guest in the peer.
qemu_run() { guest_run "$1" --vmm qemu "${@:2}"; }

# guest_test: guest_run, and a result line for it: ok if the script's exit
# status and the VMM's are both 0. If not, the end of the logs is shown.
guest_test() {
  local status=0
  guest_run "$@" || status=$?
  guest_report "$1" "$status"
}

# guest_report NAME STATUS: that result line.
guest_report() {
  case $2 in
    124) not_ok "$1" "no end after ${guest_limit[$1]} s" ;;
    125) not_ok "$1" "the guest did not finish (the VMM exited with ${guest_vmm_status:-?})" ;;
    0)
      if ((guest_vmm_status == 0)); then
        ok "$1"
        return 0
      fi
      not_ok "$1" "the VMM exited with $guest_vmm_status"
      ;;
    *) not_ok "$1" "the guest's script exited with $2" ;;
  esac
  guest_show "$1"
  return 1
}

# guest_show NAME: the end of its logs, for people.
guest_show() {
  echo "    --- $1: the VMM"
  tail -n 15 "$test_dir/$1.vmm" | sed 's/^/    /'
  echo "    --- $1: the console"
  guest_log "$1" | tail -n 30 | sed 's/^/    /'
}

# The rest: networks, servers, counters.
# shellcheck source=tests/lab/net.sh
. "$TEST_ROOT/tests/lab/net.sh"
