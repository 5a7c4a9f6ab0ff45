#!/bin/sh
# Makes a virtual environment, or completes one, with this package (editable) and some of its extras.
# Usage: PYTHON=python3 PIP_ARGS= sh tools/make_venv.sh FOLDER EXTRAS
set -eu

folder=$1 extras=$2
fail() { echo "error: $*" >&2; exit 1; }

# A folder without pip is one whose making failed half-way.
if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
  "$PYTHON" -c '' 2>/dev/null || fail "$PYTHON does not run; name a Python that does: make PYTHON=python3.11 ..."
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$("$PYTHON" -V) is too old, expected 3.10 or newer; name another: make PYTHON=python3.11 ..."
  echo "== making $folder with $("$PYTHON" -V)"
  "$PYTHON" -m venv --clear "$folder" ||
    fail "$PYTHON cannot make a virtual environment; on Debian and Ubuntu: sudo apt install python3-venv"
fi

version=$("$folder/bin/python" -c 'import sys; print("%d%d" % sys.version_info[:2])')
constraints=constraints/py$version.txt
if [ -e "$constraints" ]; then
  echo "== installing .[$extras] into $folder, versions as in $constraints (a download of some hundred MB at first)"
  set -- --constraint "$constraints"
else
  echo "== installing .[$extras] into $folder; there is no $constraints, so the newest versions: they may be untested"
  set --
fi
# shellcheck disable=SC2086 # PIP_ARGS is a list of words
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@" $PIP_ARGS --editable ".[$extras]"
