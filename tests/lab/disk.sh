# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For tests of disks: images on the host, and in the guest /disk.sh, with fio, mke2fs, e2fsck and
# others from a disk of tools. Sourced after lib.sh.
: "${test_dir:?}" "${TEST_IMAGES:?}"

# image NAME SIZE: an empty raw image, $test_dir/NAME.
image() {
  rm -f "$test_dir/$1"
  truncate -s "$2" "$test_dir/$1"
}

cat >"$test_dir/disk.sh" <<'GUEST'
. /lib/test.sh
modprobe -a -q crc32c_generic crc32c-intel ext4
mkdir -p /mnt/disk /mnt/tools
for disk in /sys/block/vd*; do
  [ "$(cat "$disk/serial")" != tools ] || mount -t ext4 -o ro "/dev/${disk##*/}" /mnt/tools
done
PATH=/mnt/tools/usr/bin:$PATH
export LD_LIBRARY_PATH=/mnt/tools/lib/x86_64-linux-gnu

# verify FILE WORKLOAD SIZE DEPTH [FIO-OPTION…]: fio writes, reads back and compares checksums.
verify() {
  fio_file=$1 fio_rw=$2 fio_size=$3 fio_depth=$4
  shift 4
  fio --name=verify --filename="$fio_file" --rw="$fio_rw" --bs=4k --size="$fio_size" \
    --iodepth="$fio_depth" --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 \
    --randseed="${FIO_SEED:-1}" --end_fsync=1 --group_reporting --thread "$@"
}

# file_system DISK: made, filled, unmounted, checked, and read again.
file_system() {
  check mkfs mke2fs -q -F -t ext4 "/dev/$1"
  check mount mount -t ext4 "/dev/$1" /mnt/disk
  head -c 8000000 /dev/urandom >/tmp/random
  sum=$(sha256sum </tmp/random)
  for i in 1 2 3; do cp /tmp/random "/mnt/disk/file$i"; done
  mkdir /mnt/disk/dir
  for i in $(seq 100); do echo "$i" >"/mnt/disk/dir/$i"; done
  sync
  check umount umount /mnt/disk
  check fsck e2fsck -fn "/dev/$1"
  check mount-again mount -t ext4 -o discard "/dev/$1" /mnt/disk
  check content sh -c "[ \"\$(sha256sum </mnt/disk/file2)\" = '$sum' ] && grep -qx 77 /mnt/disk/dir/77"
  rm /mnt/disk/file1
  check trim fstrim_or_not "$1"
  check umount-again umount /mnt/disk
  check fsck-again e2fsck -fn "/dev/$1"
}

fstrim_or_not() {
  [ "$(cat "/sys/block/$1/queue/discard_max_bytes")" -gt 0 ] || return 0
  fstrim -v /mnt/disk
}

# zeroes DISK, freed DISK: the block layer's two ways to have a range without content.
zeroes() {
  dd if=/dev/urandom of="/dev/$1" bs=1M count=4 oflag=direct 2>/dev/null
  blkdiscard -z -o 1048576 -l 1048576 "/dev/$1" || return 1
  dd if="/dev/$1" bs=1M skip=1 count=1 iflag=direct 2>/dev/null | tr -d '\0' | grep -q . && return 1
  dd if="/dev/$1" bs=1M skip=2 count=1 iflag=direct 2>/dev/null | tr -d '\0' | grep -q .
}

freed() {
  dd if=/dev/urandom of="/dev/$1" bs=1M count=4 oflag=direct 2>/dev/null
  blkdiscard -o 2097152 -l 1048576 "/dev/$1" || return 1
  dd if="/dev/$1" bs=1M skip=2 count=1 iflag=direct 2>/dev/null | tr -d '\0' | grep -q . && return 1
  dd if="/dev/$1" bs=1M skip=1 count=1 iflag=direct 2>/dev/null | tr -d '\0' | grep -q .
}

# reload DISK: its driver leaves it and comes back.
reload() {
  device=$(basename "$(readlink "/sys/block/$1/device")")
  echo "$device" >/sys/bus/virtio/drivers/virtio_blk/unbind && [ ! -b "/dev/$1" ] &&
    echo "$device" >/sys/bus/virtio/drivers/virtio_blk/bind && wait_for 5 test -b "/dev/$1"
}
GUEST

# What a guest_test of disks adds before its --, and after it.
# shellcheck disable=SC2034 # for whoever sources this
disk_files=(--file "$test_dir/disk.sh:/disk.sh")
# shellcheck disable=SC2034
disk_tools=(--disk "path=$TEST_IMAGES/tools.img,readonly=on,id=tools")
