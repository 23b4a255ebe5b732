#!/usr/bin/env bash
# Make .venv from the lock of its Python version, once. `make setup` calls this; a second run installs nothing.
#
# Variables: PYTHON  interpreter to use (default: the first suitable one on PATH)
#            VENV    where the environment goes (default: .venv)
#            CPUINFO, MIN_FREE_MB  stand-ins for the machine's own, for tests
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
# What the caller's shell says about Python must not leak into the new environment.
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_DEFAULT_TIMEOUT="${PIP_DEFAULT_TIMEOUT:-60}"

venv=${VENV:-.venv}
stamp=$venv/.setup-stamp
unfinished=$venv/.setup-unfinished
log=$venv/setup.log
cpuinfo=${CPUINFO:-/proc/cpuinfo}
# The finished environment takes 2.6 GB; pip needs room to unpack the largest wheel beside it.
min_free_mb=${MIN_FREE_MB:-4000}
supported="3.10, 3.11, 3.12 or 3.13"

fail() {
  printf 'make setup: %s\n' "$*" >&2
  exit 1
}

# Prints "3.11" for a 64-bit CPython of a supported version; else prints what it is instead, and fails.
probe() {
  local answer
  answer=$("$1" -c '
import platform, struct, sys
version = "%d.%d" % sys.version_info[:2]
if not (3, 10) <= sys.version_info[:2] <= (3, 13):
    version = "is Python " + version
elif platform.python_implementation() != "CPython":
    version = "is " + platform.python_implementation()
elif struct.calcsize("P") != 8:
    version = "is a 32-bit Python"
elif "free-threading" in sys.version:
    version = "is a free-threaded build, for which TensorFlow has no wheels"
sys.stdout.write(version)
' 2>/dev/null)
  printf '%s' "$answer"
  [[ $answer =~ ^3\.1[0-3]$ ]]
}

# Sets $python to the interpreter to build with.
find_python() {
  local candidate answer seen=""
  if [ -n "${PYTHON:-}" ]; then
    command -v "$PYTHON" >/dev/null || fail "PYTHON=$PYTHON is not a program; give the path of a Python $supported."
    answer=$(probe "$PYTHON") || fail "PYTHON=$PYTHON ${answer:-is no Python that runs}; TensorFlow needs Python $supported."
    python=$PYTHON
    return
  fi
  for candidate in python3.11 python3.12 python3.10 python3.13 python3 python; do
    command -v "$candidate" >/dev/null || continue
    # A version manager's shim exists for versions that are not switched on: only running it tells.
    if answer=$(probe "$candidate"); then
      python=$candidate
      return
    fi
    [ -n "$answer" ] && seen="$seen, $candidate $answer"
  done
  fail "no suitable Python on PATH (${seen:+found: ${seen#, }; }needed: $supported). Install one" \
    "(Debian, Ubuntu: apt install python3 python3-venv) or name it: make setup PYTHON=/path/to/python3.11"
}

check_machine() {
  local free_mb
  [ "$(uname -s)" = Linux ] ||
    fail "the locked packages are for Linux, this is $(uname -s); use a Linux machine, a virtual machine or WSL 2."
  if [ "$(uname -m)" = x86_64 ] && [ -r "$cpuinfo" ] && ! grep -qw avx "$cpuinfo"; then
    fail "this processor lacks the AVX instructions TensorFlow is built with; use a machine made after 2012," \
      "or let the virtual machine pass the host's CPU through (QEMU: -cpu host)."
  fi
  [ -f "$stamp" ] && return # the large packages lie here already
  mkdir -p "$(dirname "$venv")" || fail "the folder $(dirname "$venv") cannot be made; choose another VENV."
  free_mb=$(df -Pk "$(dirname "$venv")" | awk 'NR == 2 { print int($4 / 1024) }')
  [ "${free_mb:-$min_free_mb}" -ge "$min_free_mb" ] ||
    fail "only $free_mb MB are free on this disk and the environment needs $min_free_mb MB;" \
      "free some, or put it elsewhere: make VENV=/other/disk/venv setup"
}

# The environment is current when this text equals the stamp: locked versions, metadata, place and interpreter.
state() {
  cat "$lock" setup.cfg pyproject.toml | cksum
  pwd
  "$venv/bin/python" -c 'import sys; print(sys.version)'
}

# Reads pip's output; on a terminal it becomes one line that counts, elsewhere it says nothing.
progress() {
  local total=$1 count=0 line name
  while IFS= read -r line; do
    case $line in
    Collecting\ * | Requirement\ already\ satisfied:\ *)
      count=$((count + 1))
      name=${line#Collecting }
      name=${name#Requirement already satisfied: }
      [ -t 1 ] && printf '\r\033[K  %d/%d  %s' "$count" "$total" "${name%% *}"
      ;;
    Installing\ collected\ packages:*) [ -t 1 ] && printf '\r\033[K  unpacking %d packages' "$total" ;;
    esac
  done
  [ -t 1 ] && printf '\r\033[K'
  return 0
}

venv_version=$([ -x "$venv/bin/python" ] && probe "$venv/bin/python") || venv_version=""
# Killed while pip was writing: a package may be there in part and still count as installed.
[ -f "$unfinished" ] && venv_version=""
# PYTHON given and of another version than the environment: the environment is made anew.
if [ -n "${PYTHON:-}" ] && [ -n "$venv_version" ]; then
  find_python
  [ "$(probe "$python")" = "$venv_version" ] || venv_version=""
fi
lock=requirements/py${venv_version/./}.txt
if [ -n "$venv_version" ] && [ -f "$stamp" ]; then
  [ "$(state)" = "$(cat "$stamp")" ] && exit 0
  # Scripts and the editable install hold absolute paths: a moved folder needs a new environment.
  [ "$(sed -n 2p "$stamp")" = "$(pwd)" ] || venv_version=""
fi

check_machine
if [ -z "$venv_version" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  find_python
  version=$(probe "$python")
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "Python $version has no pip to put into an environment; install it" \
      "(Debian, Ubuntu: apt install python3-venv python$version-venv) and try again."
  # `venv --clear` empties the folder: only ever one that is an environment.
  if [ -e "$venv" ] && [ ! -f "$venv/pyvenv.cfg" ] && [ -n "$(ls -A "$venv")" ]; then
    fail "$venv exists and is no Python environment; move it away or choose another place with VENV."
  fi
  echo "Making $venv with $(command -v "$python") (Python $version)"
  "$python" -m venv --clear "$venv" || fail "could not make $venv; the message above says why."
  lock=requirements/py${version/./}.txt
fi
[ -f "$lock" ] || fail "$lock is missing; restore it with: git checkout -- requirements"

total=$(grep -c '^[A-Za-z0-9]' "$lock")
if [ -f "$stamp" ]; then
  echo "Bringing $venv up to date with $lock"
else
  echo "Installing the $total packages of $lock: 1 to 4 minutes and about 0.9 GB to download the first time"
fi
rm -f "$stamp"
touch "$unfinished"
started=$SECONDS
pip_install() {
  "$venv/bin/python" -m pip install --no-deps --no-build-isolation --use-pep517 --progress-bar off --log "$log" "$@"
}
# First the build backend: with it from the lock too, nothing but locked versions is ever fetched.
grep -E '^(setuptools|wheel)==' "$lock" >"$venv/backend.txt"
pip_install -q -r "$venv/backend.txt" >/dev/null && pip_install -r "$lock" | progress "$total"
result=$?
if [ "$result" -ne 0 ]; then
  # Below 128 pip ended by itself and undid what it could not finish.
  [ "$result" -lt 128 ] && rm -f "$unfinished"
  fail "pip could not install $lock (reason above, everything in $log). Without network or behind a proxy: set" \
    "PIP_INDEX_URL to a package index that answers. Then run make setup again; what is downloaded is kept."
fi
# What goes wrong comes on standard error; some versions of pip chat on the other even when told not to.
pip_install -q -e . >/dev/null || fail "pip could not install the project itself (reason above, everything in $log)."
"$venv/bin/python" -m pip check >"$venv/check.txt" 2>&1 ||
  fail "the installed packages do not fit together: $(head -3 "$venv/check.txt")"
rm -f "$unfinished"
state >"$stamp.new" && mv "$stamp.new" "$stamp"
echo "Ready in $((SECONDS - started)) s: $venv"
