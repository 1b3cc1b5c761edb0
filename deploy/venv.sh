# shellcheck shell=bash
# What deploy/demo and deploy/test share: a virtual environment in the checkout, from locked versions with hashes.
#
# Made once: `.venv/wardwatch-*` holds the fingerprint of what was installed, so that a second run does nothing. An
# installation that was interrupted leaves `.venv/wardwatch-unfinished` behind and is made anew from nothing. One
# installation at a time (flock on the deploy folder). Nothing outside the checkout is written, nothing needs root.

here="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
venv="$here/.venv"
python=""

stop() {
  printf '%s\n' "$@" >&2
  exit 1
}

# One Python of at least 3.11, 64-bit, that can make virtual environments; or the words that help.
find_python() {
  [ "$(uname -s)" = Linux ] || stop "wardwatch runs on Linux (Debian 12 or 64-bit Raspberry Pi OS); this is $(uname -s)."
  local candidate facts old="" narrow="" bare=""
  for candidate in python3 python3.13 python3.12 python3.11; do
    facts="$("$candidate" -c '
import sys
new, wide = sys.version_info >= (3, 11), sys.maxsize > 2**32
try:
    import ensurepip, venv
    whole = True
except ImportError:
    whole = False
print(int(new), int(wide), int(whole), "%d.%d" % sys.version_info[:2])' 2>/dev/null)" || continue
    case "$facts" in
      "1 1 1 "*) python="$candidate"; return ;;
      "0 "*) old="${facts##* }" ;;
      "1 0 "*) narrow="yes" ;;
      "1 1 0 "*) bare="yes" ;;
    esac
  done
  [ -z "$bare" ] || stop "Python here cannot make a virtual environment yet. Type this line, then run again:" "" \
    "  sudo apt-get install -y python3-venv" ""
  [ -z "$narrow" ] || stop "wardwatch needs a 64-bit system; this Python is 32-bit ($(uname -m))." \
    "On a Raspberry Pi 3, 4 or 5, install 'Raspberry Pi OS (64-bit)'."
  [ -z "$old" ] || stop "wardwatch needs Python 3.11 or newer; this machine has $old." \
    "Debian 12 and the current Raspberry Pi OS bring it."
  stop "There is no Python here. Type this line, then run again:" "" "  sudo apt-get install -y python3-venv" ""
}

fingerprint() {
  cat -- "$@" | { sha256sum; printf '%s' "$here"; } | sha256sum | cut -c1-32
}

has_stamp() {
  [ -x "$venv/bin/python" ] && [ ! -e "$venv/wardwatch-unfinished" ] &&
    [ "$(cat "$venv/wardwatch-$1" 2>/dev/null)" = "$2" ] && "$venv/bin/python" -c '' 2>/dev/null
}

# Runs quietly; when it fails, its last lines and what to do.
quietly() {
  local log="$venv/install.log"
  "$@" >"$log" 2>&1 && return
  printf '\nThis did not work. The last lines of %s:\n\n' "$log" >&2
  tail -n 12 "$log" >&2
  stop "" "Usually the network or a full disk: check both and run it again, it starts over by itself."
}

# install NAME LOCK: the locked packages and wardwatch itself.
install() {
  local stamp
  stamp="$(fingerprint "$2" "$here/pyproject.toml")"
  if [ -e "$venv/wardwatch-unfinished" ] || ! "$venv/bin/python" -c '' 2>/dev/null; then
    rm -rf -- "$venv"
    mkdir -- "$venv"
    : >"$venv/wardwatch-unfinished"
    quietly "$python" -m venv "$venv"
  fi
  : >"$venv/wardwatch-unfinished"
  local pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet)
  quietly "${pip[@]}" --require-hashes --requirement "$2"
  quietly "${pip[@]}" --no-deps --no-build-isolation --editable "$here"
  printf '%s' "$stamp" >"$venv/wardwatch-$1"
  rm -f -- "$venv/wardwatch-unfinished"
}

# needs NAME LOCK: whether `install` has something to do.
needs() {
  ! has_stamp "$1" "$(fingerprint "$2" "$here/pyproject.toml")"
}

# One at a time; the lock does not outlive the installation.
lock_install() {
  exec 9<"$here/deploy"
  flock -n 9 || { echo "another installation runs in this checkout; waiting for it"; flock 9; }
}

unlock_install() {
  exec 9<&-
}
