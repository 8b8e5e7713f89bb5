# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# apt with a state of its own, sourced by scripts/deps and scripts/images.
#
# Some of what the project needs (a QEMU with igb, Linux 6.12) is only in
# bookworm-backports. Adding that to the machine's apt configuration would be
# an edit nobody asked for, so the sources, the lists and the caches live under
# build/apt/; only what is installed is the machine's, because dpkg's status
# file stays the one in /var/lib/dpkg. The mirror is the one the machine
# already uses for bookworm: it may be the only one that it can reach.
#
# With APT_SUITE set, it is that suite alone, from the same mirror, with a state
# of its own: for packages that are unpacked, not installed.

: "${VIADUCT_ROOT:?apt.sh is sourced by scripts that set VIADUCT_ROOT}"
APT_DIR=${VIADUCT_BUILD:-$VIADUCT_ROOT/build}/apt${APT_SUITE:+-$APT_SUITE}
APT_OPTS=(
  -o "Dir::Etc::sourcelist=$APT_DIR/sources.list"
  -o "Dir::Etc::sourceparts=/dev/null"
  -o "Dir::State::lists=$APT_DIR/lists"
  -o "Dir::Cache=$APT_DIR/cache"
  # The directories belong to whoever runs this, not to the user _apt.
  -o "APT::Sandbox::User="
  -o "Acquire::Retries=3"
  -o "DPkg::Lock::Timeout=300"
)

# Prints "[options] URI suite", one for each place the machine fetches bookworm
# main from (bookworm, -updates, -security), from both formats that apt reads.
apt_bookworm_sources() {
  local f
  for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [[ -r $f ]] || continue
    awk '
      $1 != "deb" { next }
      {
        opts = ""
        line = $0
        sub(/#.*/, "", line)
        sub(/^[ \t]*deb[ \t]+/, "", line)
        if (match(line, /^\[[^]]*\][ \t]*/)) {
          opts = substr(line, 1, RLENGTH)
          line = substr(line, RLENGTH + 1)
        }
        n = split(line, w, /[ \t]+/)
        for (i = 3; i <= n; i++)
          if (w[i] == "main" && w[2] ~ /^bookworm(-updates|-security)?$/)
            print opts w[1] " " w[2]
      }' "$f"
  done
  for f in /etc/apt/sources.list.d/*.sources; do
    [[ -r $f ]] || continue
    awk '
      function flush(   i, j, nu, ns, u, s, opts) {
        if (types ~ /(^| )deb( |$)/ && enabled != "no" && comps ~ /(^| )main( |$)/) {
          # A key can also be written out in the file; the keys that apt
          # trusts anyway serve then.
          opts = key ~ /^\// ? "[signed-by=" key "] " : ""
          nu = split(uris, u, " ")
          ns = split(suites, s, " ")
          for (i = 1; i <= nu; i++)
            for (j = 1; j <= ns; j++)
              if (s[j] ~ /^bookworm(-updates|-security)?$/)
                print opts u[i] " " s[j]
        }
        types = uris = suites = comps = key = enabled = ""
      }
      /^#/ { next }
      /^[ \t]*$/ { flush(); next }
      /^[^ \t]/ { field = tolower($1); sub(/:.*/, "", field) }
      {
        value = $0
        sub(/^[^ \t:]*:/, "", value)
        gsub(/[ \t]+/, " ", value)
        sub(/^ /, "", value)
        sub(/ $/, "", value)
      }
      field == "types" { types = types " " value }
      field == "uris" { uris = uris " " value }
      field == "suites" { suites = suites " " value }
      field == "components" { comps = comps " " value }
      field == "signed-by" && key == "" { key = value }
      field == "enabled" { enabled = tolower(value) }
      END { flush() }' "$f"
  done
}

# Writes the private source list; fails if the machine has no bookworm source.
apt_write_sources() {
  local sources main
  sources=$(apt_bookworm_sources)
  main=$(grep ' bookworm$' <<<"$sources" | grep -v ' cdrom:' | head -n 1 || true)
  if [[ -z $main ]]; then
    echo "apt: no entry for bookworm main in /etc/apt/sources.list or /etc/apt/sources.list.d:" \
      "this needs Debian 12, or add its archive there" >&2
    return 1
  fi
  mkdir -p "$APT_DIR/lists/partial" "$APT_DIR/cache/archives/partial"
  if [[ -n ${APT_SUITE:-} ]]; then
    echo "deb ${main% bookworm} $APT_SUITE main"
  else
    printf '%s\n' "$sources" | sort -u | sed 's/^/deb /; s/$/ main/'
    echo "deb $main-backports main"
  fi >"$APT_DIR/sources.list.new"
  if ! cmp -s "$APT_DIR/sources.list.new" "$APT_DIR/sources.list"; then
    mv "$APT_DIR/sources.list.new" "$APT_DIR/sources.list"
    rm -f "$APT_DIR/updated"
  fi
}

# apt_update [--force]: fetches the lists if they are missing or a day old.
apt_update() {
  apt_write_sources || return 1
  if [[ ${1:-} != --force && -n $(find "$APT_DIR/updated" -mtime -1 2>/dev/null) ]]; then
    return 0
  fi
  echo "apt: fetching the package lists of ${APT_SUITE:-bookworm and bookworm-backports}" >&2
  if ! apt-get -qq "${APT_OPTS[@]}" -o APT::Update::Error-Mode=any update >&2; then
    echo "apt: the package lists could not be fetched: is there a network, and does the mirror" \
      "in /etc/apt carry ${APT_SUITE:-bookworm-backports}?" >&2
    return 1
  fi
  touch "$APT_DIR/updated"
}

# apt_retry COMMAND…: runs it; if it fails, once more with fresh lists, because
# a point release may have replaced what a day-old list names.
apt_retry() {
  "$@" && return 0
  echo "apt: that failed; trying again with fresh package lists" >&2
  apt_update --force && "$@"
}

# Only one of the project's scripts at a time; apt's own lock on the lists
# directory fails at once instead of waiting.
apt_lock() {
  mkdir -p "$APT_DIR"
  exec {APT_LOCK_FD}>"$APT_DIR/lock"
  flock "$APT_LOCK_FD"
}

apt_unlock() {
  exec {APT_LOCK_FD}>&-
}
