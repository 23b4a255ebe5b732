#!/usr/bin/env bash
# Write requirements/pyXYZ.txt, one lock per Python, from the ranges in setup.cfg, and requirements/docs.txt and
# mutation.txt from docs.in and mutation.in. Called by `make lock`.
#
# Versions already locked stay unless setup.cfg rules them out; `make lock ARGS=--upgrade` moves everything,
# `make lock ARGS="--upgrade-package rich"` one package.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=$(command -v uv || true)
if [ -z "$uv" ]; then
  # uv resolves for Pythons that are not installed; it is needed here only, so it gets a place of its own.
  tools=${TMPDIR:-/tmp}/recsys-tfrs-lock-$(id -u)
  [ -x "$tools/bin/uv" ] || { "${PYTHON:-python3}" -m venv "$tools" && "$tools/bin/pip" install -q "uv>=0.5"; }
  uv=$tools/bin/uv
fi

for version in 3.10 3.11 3.12 3.13; do
  lock=requirements/py${version/./}.txt
  # --no-emit-*: a lock names versions, never the index this machine happens to use.
  "$uv" pip compile setup.cfg --extra dev --python-platform linux --python-version "$version" \
    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet -o "$lock" "$@"
  # `pip install --no-build-isolation` takes the build backend from the lock.
  for backend in setuptools wheel; do
    grep -q "^$backend==" "$lock" || { echo "make lock: $lock lacks $backend" >&2; exit 1; }
  done
  echo "$lock: $(grep -c '^[A-Za-z0-9]' "$lock") packages"
done

for name in docs mutation; do
  lock=requirements/$name.txt
  "$uv" pip compile "requirements/$name.in" --universal --python-version 3.10 \
    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet -o "$lock" "$@"
  echo "$lock: $(grep -c '^[A-Za-z0-9]' "$lock") packages"
done
