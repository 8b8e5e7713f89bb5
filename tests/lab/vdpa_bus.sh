# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# VDUSE devices on the host's vDPA bus, and the interfaces that virtio_vdpa makes of them.

vdpa_bus=/sys/bus/vdpa

# on_bus NAME DRIVER: puts the device on the bus, with that driver.
on_bus() {
  vdpa dev add name "$1" mgmtdev vduse || return 1
  defer vdpa dev del "$1"
  bind "$1" "$2"
}

# bind NAME DRIVER: whichever took it; the bus gives it to any that is loaded.
bind() {
  local device=$vdpa_bus/devices/$1
  [[ $(basename "$(readlink "$device/driver")") == "$2" ]] && return
  echo "$2" >"$device/driver_override"
  [[ ! -e $device/driver ]] || echo "$1" >"$device/driver/unbind"
  echo "$1" >"$vdpa_bus/drivers/$2/bind"
}

# netdev MAC: the interface that has it.
netdev() { ip -o link | sed -n "s/^[0-9]*: \([^:@]*\)[:@].*$1.*/\1/p" | head -n 1; }
