#!/bin/sh
# Prints a Python 3.10 that runs and can make a virtual environment; fails if there is none.
# A pyenv shim may be on the path and still say "command not found", so each one is tried.
for python in python3.10 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10*/bin/python; do
  if "$python" -c 'import ensurepip, ssl, sys, venv; sys.exit(sys.version_info[:2] != (3, 10))' 2>/dev/null; then
    echo "$python"
    exit 0
  fi
done
exit 1
