# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# How the Debian of guest/mkdebian is booted, for whoever shows it or tests it.
: "${IMAGES:?debian.sh is sourced by scripts that set IMAGES}"

# debian_disk FORMAT FILE: a disk with it, to be written to: a copy (raw), or a layer over the image,
# which stays as it is and has to be where it is now (qcow2).
debian_disk() {
  if [[ $1 == raw ]]; then
    cp --sparse=always "$IMAGES/debian.img" "$2"
  else
    qemu-img create -q -f "$1" -F raw -b "$(realpath "$IMAGES/debian.img")" "$2"
  fi
}

# debian_arguments MODEL FORMAT FILE [WORDS]: sets debian_arguments to the VMM's for that disk and a
# network; WORDS are more of the kernel's command line. The kernel is the one whose modules the image has.
debian_arguments() {
  local root=vda
  [[ $1 == virtio-blk ]] || root=sda
  # shellcheck disable=SC2034 # for whoever sources this
  debian_arguments=(--kernel "$IMAGES/linux-6.12/vmlinuz" --initrd "$IMAGES/guest-6.12.img"
    --cmdline "console=ttyS0 quiet root=/dev/$root${4:+ $4}" --net
    --disk "model=$1,format=$2,path=$3")
}
