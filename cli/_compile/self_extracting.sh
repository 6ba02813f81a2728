#!/bin/sh
# mdi: a program for Linux with everything inside. It unpacks itself once, and starts from there.
# POSIX but for -O of test and -T of mv, which the shells and tools of Linux have.
set -eu
hash=@HASH@
bytes=@BYTES@ # of the archive behind this script
self=$0
# As in "sh mdi", or as found in PATH.
case $0 in */*) ;; *) [ -f "./$0" ] || self=$(command -v -- "$0") || self=$0 ;; esac
MDI_FILE=$(CDPATH='' cd -- "$(dirname -- "$self")" && pwd -P)/$(basename -- "$self")
export MDI_FILE DENO_NO_UPDATE_CHECK=1
work=

# Whether what lies in the folder $1 can be started at all: not where that is mounted noexec.
starts_scripts() {
  echo '#!/bin/sh' >"$1/try" && chmod +x "$1/try" && "$1/try" 2>/dev/null
}

# Whether the folder $1 is of this user and has all files. What another user put there is not started.
is_ours() {
  [ -O "$1" ] && [ -x "$1/deno" ] || return 1
  for file in @FILES@; do
    [ -f "$1/$file" ] || return 1
  done
}

# Unpacks into the folder $1, while other copies may; fails where programs cannot be kept or started there.
unpack() {
  mkdir -p -- "$1" 2>/dev/null || return 1
  work=$(mktemp -d "$1/.mdi-XXXXXX" 2>/dev/null) || return 1
  trap 'rm -rf -- "$work"' EXIT
  trap 'exit 1' HUP INT TERM
  tail -c "$bytes" -- "$MDI_FILE" >"$work/archive" 2>/dev/null || return 1
  case $(sha256sum <"$work/archive") in
    "$hash "*) ;;
    *)
      echo "mdi: error: Cannot start: this file was altered or is cut off; copy it anew" >&2
      exit 1
      ;;
  esac
  mkdir -m 700 "$work/mdi" && tar -xzf "$work/archive" -C "$work/mdi" 2>/dev/null || return 1
  if ! "$work/mdi/deno" --version >/dev/null 2>&1; then
    starts_scripts "$work" || return 1
    echo "mdi: error: Cannot start: the Deno inside does not run on this machine, $(uname -sm); this file is for 64-bit @ARCH@ Linux with glibc 2.27 or newer: copy the one for this machine" >&2
    exit 3
  fi
  if ! mv -T -- "$work/mdi" "$1/mdi-$hash" 2>/dev/null && ! is_ours "$1/mdi-$hash"; then
    # No other copy was faster: what lies there has lost files, or is another user's.
    [ -O "$1/mdi-$hash" ] || return 1
    mv -T -- "$1/mdi-$hash" "$work/old" 2>/dev/null || return 1
    mv -T -- "$work/mdi" "$1/mdi-$hash" 2>/dev/null || return 1
  fi
  rm -rf -- "$work"
}

for cache in "${XDG_CACHE_HOME:-}" "${HOME:+$HOME/.cache}" "${TMPDIR:-/tmp}"; do
  case $cache in /*) ;; *) continue ;; esac
  place=$cache/mdi-$hash
  if ! is_ours "$place"; then
    unpack "$cache" || {
      [ -z "$work" ] || rm -rf -- "$work"
      continue
    }
  fi
  exec "$place/deno" run --quiet --no-prompt --no-config --no-lock --cached-only --no-remote \
    @FLAGS@ --allow-all "$place/@ENTRY@" "$@"
done
echo 'mdi: error: Cannot unpack: none of $XDG_CACHE_HOME, $HOME/.cache and $TMPDIR has 200 MB for programs; set XDG_CACHE_HOME to a directory that can be written and is not mounted noexec' >&2
exit 6
