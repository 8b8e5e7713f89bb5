# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Building blocks of an initramfs, sourced by guest/mkinitramfs and
# lab/mkinitramfs. The tree being filled is $tree.
: "${tree:=}"

# initramfs_inputs FILE-OR-COMMAND…: the files that these come down to, with
# the libraries they need.
initramfs_inputs() {
  local f
  for f in "$@"; do
    f=$(PATH=$PATH:/usr/sbin:/sbin command -v "$f") || {
      echo "initramfs: $f is not installed: run scripts/deps lab" >&2
      return 1
    }
    echo "$f"
    ldd "$f" 2>/dev/null | sed -n 's/^\t\(.* => \)\?\(\/[^ ]*\) (0x.*/\2/p' || true
  done | sort -u
}

# add_program COMMAND [PATH]: puts a program at PATH (default /usr/bin/COMMAND)
# and its libraries where the dynamic linker looks for them.
add_program() {
  local files f target=${2:-/usr/bin/$1}
  mapfile -t files < <(initramfs_inputs "$1")
  for f in "${files[@]}"; do
    case $f in
      */ld-linux*) install -D -m 755 "$f" "$tree/lib64/$(basename "$f")" ;;
      *.so | *.so.*) install -D -m 755 "$f" "$tree/lib/x86_64-linux-gnu/$(basename "$f")" ;;
      # A symbolic link of busybox's may be in the way; it must not be followed.
      *) rm -f "$tree$target" && install -D -m 755 "$f" "$tree$target" ;;
    esac
  done
}

# add_busybox: busybox and a link for each of its programs, made here because
# "busybox --install" would take its time at every boot.
add_busybox() {
  local applet
  install -D -m 755 "$(command -v busybox)" "$tree/bin/busybox"
  mkdir -p "$tree"/{sbin,usr/bin,usr/sbin,dev,proc,sys,run,tmp,root,etc,mnt}
  for applet in $(busybox --list); do
    [[ $applet == busybox ]] || ln -s busybox "$tree/bin/$applet"
  done
}

# add_modules MODULES-DIR RELEASE MODULE…: the modules, what they depend on, and
# depmod's tables for just these, which keeps busybox's modprobe quick: it reads
# them as text. A module that this kernel has built in, or not at all, is skipped.
add_modules() {
  local from=$1 release=$2 base m
  shift 2
  base=$(mktemp -d)
  mkdir -p "$base/lib/modules" "$tree/lib/modules/$release"
  ln -s "$(realpath "$from")" "$base/lib/modules/$release"
  for m in "$@"; do
    PATH=$PATH:/usr/sbin:/sbin modprobe -d "$base" -S "$release" --show-depends -q "$m" || true
  done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u |
    while read -r m; do
      m=${m#"$base/lib/modules/$release/"}
      install -D -m 644 "$from/$m" "$tree/lib/modules/$release/$m"
    done
  cp "$from"/modules.{order,builtin,builtin.modinfo} "$tree/lib/modules/$release/"
  PATH=$PATH:/usr/sbin:/sbin depmod -b "$tree" "$release"
  # Only the binary forms, which busybox does not read, and what only depmod reads.
  rm -f "$tree/lib/modules/$release"/modules.{*.bin,order,builtin,builtin.modinfo,devname,softdep,symbols}
  rm -rf "$base"
}

# pack OUT: the tree as an uncompressed cpio archive, the same bytes for the
# same tree. Uncompressed, because the machine that unpacks it is emulated:
# copying a few megabytes costs it less than any decompressor does, and so that
# another archive can simply be appended.
pack() {
  find "$tree" -exec touch -h -d @0 {} +
  (cd "$tree" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible) >"$1"
}
