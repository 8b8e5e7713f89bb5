# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For the tests of viaduct-switch with guests in QEMU, under software emulation, which needs no KVM.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../cli/lib.sh"

images=${VIADUCT_BUILD:-build}/images
sock=$CLI_TMP/api
switch=
declare -A qemu
trap 'kill -KILL $switch "${qemu[@]}" 2>/dev/null' EXIT

# need_guests KERNEL…: or the test is skipped.
need_guests() {
  local kernel
  if ! command -v qemu-system-x86_64 >/dev/null; then
    skip all 'QEMU is not installed: scripts/deps lab'
    exit 0
  fi
  for kernel in "$@"; do
    [[ -f $images/guest-$kernel.img ]] && continue
    skip all "there is no $images/guest-$kernel.img: scripts/images"
    exit 0
  done
}

# switch_start ARGUMENT…: sets $switch.
switch_start() {
  rm -f "$sock"
  "$(dirname "$VIADUCT")/viaduct-switch" --api-socket "$sock" "$@" 2>>"$CLI_TMP/switch.log" &
  switch=$!
  await 'the switch' test -S "$sock"
}
# vhost_port NAME [KEY=VALUE,…]: what --port takes, for a guest of that name.
vhost_port() { echo "id=$1,type=vhost-user,socket=$CLI_TMP/s$1,server=on${2:+,$2}"; }

# QEMU before 9.2 knows whole seconds only.
reconnect='reconnect-ms=100'
if [[ ! $(qemu-system-x86_64 --version 2>/dev/null) =~ version\ [1-9][0-9] ]]; then
  reconnect='reconnect=1'
fi

# guest_start NAME KERNEL IMAGE DEVICE-OPTIONS QEMU-ARGUMENT…: a guest on the port NAME. What it says is
# in NAME.log, what QEMU says in NAME.qemu; QEMU reads from NAME.tell, if there is such a FIFO.
guest_start() {
  local from=/dev/null
  [[ -p $CLI_TMP/$1.tell ]] && from=$CLI_TMP/$1.tell
  rm -f "$CLI_TMP/$1.log"
  qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -accel tcg -cpu max \
    -M pc,memory-backend=mem -m 192 -object memory-backend-memfd,id=mem,size=192M,share=on \
    -kernel "$images/linux-$2/vmlinuz" -initrd "$3" \
    -append 'console=ttyS0 quiet panic=-1 no_timer_check' -serial "file:$CLI_TMP/$1.log" \
    -chardev "socket,id=c,path=$CLI_TMP/s$1,$reconnect" -netdev vhost-user,id=n,chardev=c \
    -device "virtio-net-pci,netdev=n,$4" "${@:5}" <"$from" >"$CLI_TMP/$1.qemu" 2>&1 &
  qemu[$1]=$!
}
said() { grep -q "$2" "$CLI_TMP/$1.log"; }
# long WHAT COMMAND…: as await, for as long as emulation on a busy machine may take.
long() { for _ in 1 2 3 4 5; do await "$@" && return; done; return 1; }

ports() { "$VIADUCTCTL" --api-socket "$sock" "$@" port list; }
balanced() { ports --json | tests/balance --sum; }

# guests_kill: all of them.
guests_kill() {
  ((${#qemu[@]})) || return
  kill -KILL "${qemu[@]}"
  wait "${qemu[@]}" 2>/dev/null
  qemu=()
}

# switch_end: guests first, so that frames stand still; results are `counters` and `end`.
quiet() { ! ports | grep -q ' [1-9][0-9]* queues running'; }
switch_end() {
  local sums
  guests_kill
  await 'quiet' quiet
  if sums=$(balanced); then ok counters; else not_ok counters "$sums"; fi
  kill "$switch"
  await 'the end of the switch' not_running "$switch"
  wait "$switch" || not_ok end "exit status $?"
  if grep -q 'Sanitizer\|runtime error' "$CLI_TMP/switch.log"; then
    not_ok end "$(grep -m 1 'Sanitizer\|runtime error' "$CLI_TMP/switch.log")"
  else
    ok end
  fi
}
