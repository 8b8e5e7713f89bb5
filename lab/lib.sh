# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The outside of the lab, sourced by lab/run, lab/start, lab/exec and lab/stop.
#
# A lab is a folder build/lab/vm.XXXXXX, which holds everything about it:
#   pid          of QEMU                console.log  the kernel's console
#   ctl.in       FIFO to the lab's second serial port (see lab/agent)
#   queue/       shared with the inside: config, ready, and a folder a command
# Nothing in it is a port or a name known elsewhere, so any number of labs can
# be up at once.

: "${VIADUCT_ROOT:?lab/lib.sh is sourced by scripts that set VIADUCT_ROOT}"
LAB_BUILD=${VIADUCT_BUILD:-$VIADUCT_ROOT/build}
LAB_DIR=$LAB_BUILD/lab
LAB_BOOT_TIMEOUT=120

# Exit statuses of the lab's own, in the manner of timeout(1) and ssh.
LAB_STATUS_TIMEOUT=124
LAB_STATUS_FAILED=125

lab_die() {
  echo "lab: $*" >&2
  exit "$LAB_STATUS_FAILED"
}

# Options of lab/run and lab/start; sets the variables, and LAB_ARGS_USED to the
# number of arguments that were options.
lab_memory=4096
lab_smp=2
lab_accel=tcg
lab_append=
lab_kernel=
lab_modules=
lab_qemu=()
lab_timeout=
lab_env=()
lab_tty=no
lab_refresh=no

lab_options() {
  local n=$#
  while (($#)); do
    case $1 in
      --memory | --smp | --accel | --append | --kernel | --modules | --qemu | --timeout | --env)
        (($# > 1)) || lab_die "$1 needs a value"
        case $1 in
          --memory) lab_memory=$(lab_mebibytes "$2") ;;
          --smp) lab_smp=$2 ;;
          --accel) lab_accel=$2 ;;
          --append) lab_append=$2 ;;
          --kernel) lab_kernel=$2 ;;
          --modules) lab_modules=$2 ;;
          --qemu) lab_qemu+=("$2") ;;
          --timeout) lab_timeout=$2 ;;
          --env) lab_env+=("$2") ;;
        esac
        shift 2
        ;;
      --tty)
        lab_tty=yes
        shift
        ;;
      --)
        shift
        break
        ;;
      -*)
        return 2
        ;;
      *) break ;;
    esac
  done
  # shellcheck disable=SC2034 # for the callers
  LAB_ARGS_USED=$((n - $#))
  # Whoever sits at a terminal decides how long it takes.
  [[ -n $lab_timeout || $lab_tty == no ]] || lab_timeout=0
  lab_timeout=${lab_timeout:-600}
  [[ $lab_timeout =~ ^[0-9]+$ ]] || lab_die "--timeout $lab_timeout: not a number of seconds"
  [[ $lab_smp =~ ^[0-9]+$ ]] || lab_die "--smp $lab_smp: not a number"
}

# lab_mebibytes SIZE: 4096, 4096M or 4G, in MiB.
lab_mebibytes() {
  case $1 in
    *[!0-9MG]* | '' | [MG]*) lab_die "--memory $1: not a size such as 4096M or 4G" ;;
    *G) echo $((${1%G} * 1024)) ;;
    *) echo "${1%M}" ;;
  esac
}

# An argument inside one of QEMU's option lists: commas are doubled.
lab_qemu_escape() {
  printf '%s' "${1//,/,,}"
}

# Makes the images, unless they are up to date, and sets lab_kernel, lab_initrd,
# lab_modules and lab_release.
lab_images() {
  local images=$LAB_BUILD/images
  "$VIADUCT_ROOT/scripts/images" lab || lab_die "the images could not be made"
  if [[ -z $lab_kernel || ${lab_own:-} == no ]]; then
    lab_own=no
    # The ELF file: started by PVH, it spares the emulator the decompression.
    lab_kernel=$images/linux-6.12/vmlinux
    lab_modules=$images/linux-6.12/modules
    lab_release=$(cat "$images/linux-6.12/release")
    lab_initrd=$images/lab.img
    return
  fi
  # One's own kernel: what "make modules_install INSTALL_MOD_PATH=DIR" made.
  [[ -f $lab_modules/modules.dep ]] ||
    lab_die "--kernel needs --modules DIR/lib/modules/RELEASE, as made by make modules_install"
  lab_modules=$(realpath "$lab_modules")
  lab_release=$(basename "$lab_modules")
  lab_initrd=$lab_vm/initrd
  "$VIADUCT_ROOT/lab/mkinitramfs" "$lab_initrd" "$lab_modules" "$lab_release" ||
    lab_die "no initramfs could be made from $lab_modules"
}

# lab_boot: boots a lab as set by lab_options and returns once it is up. On a busy
# machine an emulated kernel now and then takes its own slowness for broken
# hardware while it boots, so a boot that failed is tried again, twice.
lab_boot() {
  local try
  for try in 1 2 3; do
    lab_start
    if lab_wait_ready; then
      return
    fi
    lab_stop
    ((try == 3)) || echo "lab: booting it again" >&2
  done
  lab_die "it does not boot"
}

# lab_start: starts QEMU; sets lab_vm and lab_pid. The lab is up once
# lab_wait_ready returns.
lab_start() {
  [[ -z ${VIADUCT_LAB:-} ]] || lab_die "this is the lab already"
  command -v qemu-system-x86_64 >/dev/null ||
    lab_die "qemu-system-x86_64 is not installed: run scripts/deps lab"
  LAB_OUT=${LAB_OUT:-$LAB_DIR/out}
  mkdir -p "$LAB_DIR" "$LAB_OUT"
  LAB_OUT=$(realpath "$LAB_OUT")
  lab_sweep
  lab_vm=$(mktemp -d "$LAB_DIR/vm.XXXXXX")
  lab_images
  mkdir "$lab_vm/queue"
  mkfifo "$lab_vm/ctl.in" "$lab_vm/ctl.out"

  local tmpfs_tmp=yes path
  for path in "$VIADUCT_ROOT" "$LAB_DIR" "$PWD"; do
    [[ $(realpath "$path")/ != /tmp/* ]] || tmpfs_tmp=no
  done
  printf '%s=%q\n' RELEASE "$lab_release" MODULES "$lab_modules" LAB_OUT "$LAB_OUT" \
    TMPFS_TMP "$tmpfs_tmp" >"$lab_vm/queue/config"

  local cpu
  case $lab_accel in
    # svm, because TCG emulates AMD's nested virtualization and not Intel's. With so few address
    # bits, and no 64-bit hole, the firmware leaves all BARs below 4 GiB: QEMU 10.0 takes the BARs
    # of virtual functions for 32 bits wide, and above they would not answer.
    tcg) cpu=max,+svm,phys-bits=36 accel=tcg,thread=multi ;;
    kvm) cpu=host,host-phys-bits-limit=36 accel=kvm ;;
    *) lab_die "--accel $lab_accel: tcg or kvm" ;;
  esac

  local vm
  vm=$(lab_qemu_escape "$lab_vm")
  # shellcheck disable=SC2054 # the commas are QEMU's
  local qemu=(
    qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot
    -accel "$accel" -cpu "$cpu" -smp "$lab_smp" -m "$lab_memory"
    -M q35,kernel-irqchip=split -global q35-pcihost.pci-hole64-size=0
    -device intel-iommu,intremap=on
    -kernel "$lab_kernel" -initrd "$lab_initrd"
    # An oops ends the lab, and so QEMU (-no-reboot), and so does a processor that has stood still
    # for minutes: never a half-dead host.
    -append "console=ttyS0 quiet panic=-1 oops=panic sysctl.kernel.panic_on_rcu_stall=1 sysctl.kernel.max_rcu_stall_to_panic=3 no_timer_check intel_iommu=on $lab_append"
    -chardev "file,id=console,path=$vm/console.log" -serial chardev:console
    -chardev "pipe,id=ctl,path=$vm/ctl" -serial chardev:ctl
    -fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap
    -device virtio-9p-pci,fsdev=root,mount_tag=root
    -fsdev "local,id=lab,path=$vm/queue,security_model=none"
    -device virtio-9p-pci,fsdev=lab,mount_tag=lab
    -fsdev "local,id=out,path=$(lab_qemu_escape "$LAB_OUT"),security_model=none,multidevs=remap"
    -device virtio-9p-pci,fsdev=out,mount_tag=out
    # A NIC with seven virtual functions, in an IOMMU group of its own. SR-IOV
    # needs a PCI Express port above it.
    -device pcie-root-port,id=rp1,slot=1 -device igb,bus=rp1,netdev=n1 -netdev user,id=n1
  )
  if [[ $lab_tty == yes ]]; then
    # QEMU makes the terminal raw, and puts it right when it ends.
    # shellcheck disable=SC2054 # the commas are QEMU's
    qemu+=(
      -device virtio-serial-pci -chardev stdio,id=tty,signal=off -device virtconsole,chardev=tty
    )
    # Not in a session of its own: a terminal only answers to its own session.
    setpriv --pdeathsig KILL "${qemu[@]}" "${lab_qemu[@]}" <&0 2>"$lab_vm/qemu.log" &
    lab_pid=$!
    echo "$lab_pid" >"$lab_vm/pid"
    return
  fi
  # The lab dies with lab/run even if that is killed outright; one made by
  # lab/start goes on, in a session of its own.
  local tie=(setsid)
  [[ ${LAB_KEEP:-no} == yes ]] || tie=(setsid setpriv --pdeathsig KILL)
  "${tie[@]}" "${qemu[@]}" "${lab_qemu[@]}" </dev/null >"$lab_vm/qemu.log" 2>&1 &
  lab_pid=$!
  echo "$lab_pid" >"$lab_vm/pid"
}

# lab_attach NAME: takes up a lab that lab/start left running. With an empty
# name the only one there is.
lab_attach() {
  local name=$1 all
  if [[ -z $name ]]; then
    mapfile -t all < <(lab_list)
    ((${#all[@]} == 1)) || lab_die "${#all[@]} labs are up (${all[*]:-start one with lab/start}):" \
      "name one with --lab or LAB_NAME"
    name=${all[0]}
  fi
  lab_vm=$LAB_DIR/$name
  [[ -f $lab_vm/pid ]] || lab_die "there is no lab named $name"
  lab_pid=$(<"$lab_vm/pid")
  # shellcheck source=/dev/null
  LAB_OUT=$(. "$lab_vm/queue/config" && echo "$LAB_OUT")
  lab_is_qemu || lab_die "$name is no longer up; its console is $lab_vm/console.log"
}

# Removes what labs left that were killed with no chance to clean up. Not those
# of the last minute: they may be about to start.
lab_sweep() {
  local lab_vm lab_pid
  for lab_vm in "$LAB_DIR"/vm.*; do
    [[ -d $lab_vm && -n $(find "$lab_vm" -maxdepth 0 -mmin +1) ]] || continue
    lab_pid=$(cat "$lab_vm/pid" 2>/dev/null || echo 0)
    lab_is_qemu || rm -rf "$lab_vm"
  done
}

# The names of the labs that are up.
lab_list() {
  local pid_file lab_pid lab_vm
  for pid_file in "$LAB_DIR"/vm.*/pid; do
    [[ -f $pid_file ]] || continue
    lab_vm=$(dirname "$pid_file")
    lab_pid=$(<"$pid_file")
    ! lab_is_qemu || basename "$lab_vm"
  done
}

lab_alive() {
  [[ -n ${lab_pid:-} ]] && kill -0 "$lab_pid" 2>/dev/null
}

# For a pid read from a file: the process still is this lab's QEMU. (Right
# after the fork it is not yet, so lab_alive cannot ask this.)
lab_is_qemu() {
  grep -qF "${lab_vm##*/}/" "/proc/$lab_pid/cmdline" 2>/dev/null
}

# The end of what the console and QEMU said, on stderr; all of it is kept, since
# the lab's folder goes away.
lab_tail() {
  cp "$lab_vm/console.log" "$LAB_DIR/failed-console.log" 2>/dev/null || true
  {
    if [[ -s $lab_vm/qemu.log ]]; then
      echo "--- QEMU said:"
      tail -n 20 "$lab_vm/qemu.log"
    fi
    echo "--- the end of the lab's console:"
    tail -n 40 "$lab_vm/console.log" 2>/dev/null | tr -d '\r'
    echo "---"
  } >&2
}

lab_wait_ready() {
  local end=$((SECONDS + LAB_BOOT_TIMEOUT))
  while [[ ! -e $lab_vm/queue/ready ]]; do
    lab_alive || {
      lab_tail
      echo "lab: it ended while booting" >&2
      return 1
    }
    # Without a limit for the command, a debugger may hold the kernel up as well.
    ((SECONDS < end || lab_timeout == 0)) || {
      lab_tail
      echo "lab: not up after $LAB_BOOT_TIMEOUT s" >&2
      return 1
    }
    sleep 0.02
  done
}

# Writes the command given, as a script that bash runs inside.
lab_command_script() {
  local e size
  size=$(stty size 2>/dev/null) || size=
  [[ $size == *[1-9]*\ *[1-9]* ]] || size="24 80"
  echo "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
  echo "export HOME=/root USER=root LOGNAME=root VIADUCT_LAB=1"
  printf 'export %s=%q\n' LANG "${LANG:-C.UTF-8}" TERM "${TERM:-dumb}" LAB_OUT "$LAB_OUT"
  for e in "${lab_env[@]}"; do
    case $e in
      *=*) printf 'export %s=%q\n' "${e%%=*}" "${e#*=}" ;;
      *) [[ -z ${!e+x} ]] || printf 'export %s=%q\n' "$e" "${!e}" ;;
    esac
  done
  if [[ $lab_tty == yes ]]; then
    printf 'stty rows %s cols %s 2>/dev/null\n' "${size% *}" "${size#* }"
  fi
  if [[ $lab_refresh == yes ]]; then
    echo 'echo 3 >/proc/sys/vm/drop_caches'
  fi
  printf 'cd %q || exit 125\n' "$PWD"
  printf 'exec'
  printf ' %q' "$@"
  echo
}

# lab_tell LINE: a request to the agent. Opened for both directions, because
# opening a FIFO only to write waits for a reader, and QEMU may be gone.
lab_tell() {
  echo "$1" 1<>"$lab_vm/ctl.in"
}

# lab_exec COMMAND…: runs it in the lab lab_vm, streams what it prints, returns
# its exit status, or LAB_STATUS_TIMEOUT or LAB_STATUS_FAILED.
lab_exec() {
  local dir id followed=() sentinel status=
  dir=$(mktemp -d "$lab_vm/queue/c.XXXXXX")
  id=$(basename "$dir")
  lab_command_script "$@" >"$dir/command"
  : >"$dir/out"
  : >"$dir/err"

  # tail reads to the end once more after the process named by --pid is gone:
  # ending the sentinel is how it is told that nothing more will come.
  sleep infinity &
  sentinel=$!
  tail -c +1 -f -s 0.03 --pid="$sentinel" "$dir/out" 2>/dev/null &
  followed+=($!)
  tail -c +1 -f -s 0.03 --pid="$sentinel" "$dir/err" >&2 2>/dev/null &
  followed+=($!)
  trap 'lab_tell "kill $id"; kill "$sentinel" 2>/dev/null; exit 130' INT
  trap 'lab_tell "kill $id"; kill "$sentinel" 2>/dev/null; exit 143' TERM

  if [[ $lab_tty == yes ]]; then
    lab_tell "tty $id"
  else
    lab_tell "run $id"
  fi
  local end=$((SECONDS + lab_timeout))
  while [[ ! -e $dir/status ]]; do
    if ! lab_alive; then
      status=$LAB_STATUS_FAILED
      break
    elif ((lab_timeout && SECONDS >= end)); then
      status=$LAB_STATUS_TIMEOUT
      lab_tell "kill $id"
      break
    fi
    sleep 0.02
  done
  [[ -n $status ]] || status=$(cat "$dir/status")
  kill "$sentinel"
  wait "$sentinel" "${followed[@]}" 2>/dev/null || true
  trap - INT TERM
  if [[ ! -e $dir/status ]]; then
    lab_tail
    case $status in
      "$LAB_STATUS_TIMEOUT") echo "lab: the command did not end within $lab_timeout s" >&2 ;;
      *) echo "lab: it ended under the command; its console is $LAB_DIR/failed-console.log" >&2 ;;
    esac
  fi
  return "$status"
}

# lab_stop: ends the lab; nothing in it needs a clean shutdown, since the only
# file systems that outlive it are written through.
lab_stop() {
  if lab_alive; then
    kill -TERM "$lab_pid" 2>/dev/null || true
    local n=0
    while lab_alive && ((n++ < 100)); do
      sleep 0.02
    done
    kill -KILL "$lab_pid" 2>/dev/null || true
  fi
  rm -rf "$lab_vm"
}
