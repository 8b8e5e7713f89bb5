# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For the tests of the command line, which run-all starts with VIADUCT and VIADUCTCTL (the programs), GUEST (the
# bare guest of guest.S) and CLI_TMP (a folder of their own) set. A result is one line: "ok NAME",
# "not ok NAME: reason" or "skip NAME: reason".

: "${CLI_TMP:?is not set: use tests/cli/run-all BUILD_DIR TEST}"
test_name=$(basename "$0" .test)
ok() { echo "ok $test_name/$1"; }
not_ok() { echo "not ok $test_name/$1: ${*:2}"; }
skip() { echo "skip $test_name/$1: ${*:2}"; }

# run ARG…: the program; sets $status; what it said is in out and err of $CLI_TMP.
run() {
  status=0
  timeout -s KILL 120 "$VIADUCT" "$@" </dev/null >"$CLI_TMP/out" 2>"$CLI_TMP/err" || status=$?
}

# verdict NAME STATUS PATTERN: on the last run. An empty pattern stands for no message at all.
verdict() {
  if ((status != $2)); then
    not_ok "$1" "exit status $status instead of $2: $(tail -n 3 "$CLI_TMP/err" | tr '\n' ' ')"
  elif [[ -z $3 && -s $CLI_TMP/err ]]; then
    not_ok "$1" "it said: $(head -n 3 "$CLI_TMP/err" | tr '\n' ' ')"
  elif [[ -n $3 ]] && ! grep -qE -- "$3" "$CLI_TMP/err"; then
    not_ok "$1" "no '$3' in: $(head -n 3 "$CLI_TMP/err" | tr '\n' ' ')"
  elif grep -q 'Sanitizer\|runtime error' "$CLI_TMP/err"; then
    not_ok "$1" "$(grep -m 1 'Sanitizer\|runtime error' "$CLI_TMP/err")"
  else
    ok "$1"
  fi
}

# check NAME STATUS PATTERN ARG…: runs and judges.
check() {
  run "${@:4}"
  verdict "$1" "$2" "$3"
}

# The arguments for the bare guest, whose action is the first argument.
bare() { args=(--kernel "$GUEST" --memory 16M --cmdline "$1" "${@:2}"); }

# guest NAME STATUS PATTERN ACTION ARG…
guest() {
  bare "${@:4}"
  check "$1" "$2" "$3" "${args[@]}"
}

# Whether a virtual machine can be made here; otherwise why not, in $no_kvm.
have_kvm() {
  bare off --serial null
  run "${args[@]}"
  no_kvm=$(head -n 1 "$CLI_TMP/err")
  return "$status"
}
need_kvm() {
  have_kvm && return
  if ((status == 3)); then
    skip "$1" "no KVM: $no_kvm"
  else
    not_ok "$1" "exit status $status: $no_kvm"
  fi
  exit 0
}

# await WHAT COMMAND…: until it succeeds, for a minute.
await() {
  local i
  for ((i = 0; i < 1200; i++)); do
    "${@:2}" 2>/dev/null && return
    sleep 0.05
  done
  echo "# no end of waiting for $1"
  return 1
}

# start ACTION ARG…: the bare guest in the background, until it said hello; sets $pid.
start() {
  bare "$@"
  : >"$CLI_TMP/out"
  "$VIADUCT" "${args[@]}" </dev/null >"$CLI_TMP/out" 2>"$CLI_TMP/err" &
  pid=$!
  await "the guest's hello" grep -q 'guest: hello' "$CLI_TMP/out"
}

# finish: waits for it, no longer than ten seconds; sets $status.
finish() {
  await "the end of the guest" not_running "$pid" || kill -KILL "$pid"
  status=0
  wait "$pid" 2>/dev/null || status=$?
}
# stop: ends it at once.
stop() {
  kill -TERM "$pid"
  kill -INT "$pid"
  finish
}
not_running() { [[ ! -d /proc/$1 || $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) == Z* ]]; }

# poke FILE OFFSET BYTES…: writes bytes (hexadecimal) into a file.
poke() {
  printf '%b' "$(printf '\\x%s' "${@:3}")" |
    dd of="$1" bs=1 seek="$(($2))" conv=notrunc status=none
}
