#!/bin/sh
# Installs pycuda, and cuda-bindings, into a virtual environment, so that the tests can run them on the software CUDA
# driver of tests/softcuda. pycuda comes as source only; it is built once (some two minutes) and its wheel kept in
# build/wheels. Run it in the repository root.
# Usage: PIP_ARGS= sh tools/build_pycuda.sh FOLDER        FOLDER is the virtual environment
# Not for a machine with a GPU: there `pip install pycuda` links with NVIDIA's own driver.
set -eu

folder=$1
python=$folder/bin/python
wheels=$PWD/build/wheels
driver=$PWD/build/softcuda
fail() { echo "error: $*" >&2; exit 1; }

"$python" -m pip --version >/dev/null 2>&1 || fail "$folder is no virtual environment with pip; make one: make setup"
version=$("$python" -c 'import sys; print("%d%d" % sys.version_info[:2])')
constraints=constraints/softcuda.txt
pinned=$(sed -n 's/^pycuda==//p' "$constraints")
[ -n "$pinned" ] || fail "$constraints names no version of pycuda"

cuda=$(sh tools/find_cuda.sh) || fail "pycuda needs nvcc and CUDA's headers"
sh tests/softcuda/driver/build.sh "$driver"

find_wheel() { find "$wheels" -name "pycuda-$pinned-cp$version-*.whl" 2>/dev/null | head -n 1; }
if [ -z "$(find_wheel)" ]; then
  echo "== building pycuda $pinned for $("$python" -V), once: some two minutes"
  mkdir -p "$wheels"
  home=$(mktemp -d)
  trap 'rm -rf "$home"' EXIT
  # pycuda's set-up reads this file. CURAND is not needed and often not there. The driver to link with is ours: with an
  # empty library the linker would drop it as not needed, and the import then says "undefined symbol".
  cat >"$home/.aksetup-defaults.py" <<END
CUDA_ROOT = "$cuda"
CUDA_ENABLE_CURAND = False
CUDADRV_LIB_DIR = ["$driver"]
LIBRARY_DIRS = []
END
  # Only pycuda's set-up shall see another home: pip's own settings stay where they are.
  settings=${XDG_CONFIG_HOME:-$HOME/.config}
  # shellcheck disable=SC2086 # PIP_ARGS is a list of words
  env PATH="$cuda/bin:$PATH" XDG_CONFIG_HOME="$settings" HOME="$home" \
    "$python" -m pip wheel --quiet --disable-pip-version-check ${PIP_ARGS:-} --no-deps --no-binary pycuda \
    --no-cache-dir --wheel-dir "$home/wheels" "pycuda==$pinned" >"$home/log" 2>&1 ||
    { tail -n 40 "$home/log" >&2; fail "pycuda $pinned could not be built; the end of its log is above"; }
  mv "$home"/wheels/pycuda-*.whl "$wheels/"
fi

set -- --constraint "$constraints"
[ ! -e "constraints/py$version.txt" ] || set -- "$@" --constraint "constraints/py$version.txt"
# torch's CUDA build brings a version of cuda-bindings that it needs: that one is left.
LD_LIBRARY_PATH=$driver "$python" -c 'import cuda.bindings.driver' 2>/dev/null || set -- "$@" cuda-bindings
# shellcheck disable=SC2086
"$python" -m pip install --quiet --disable-pip-version-check ${PIP_ARGS:-} "$@" "$(find_wheel)"
LD_LIBRARY_PATH=$driver "$python" -c 'import cuda.bindings.driver, pycuda.driver' ||
  fail "pycuda was built and does not load; remove $wheels and try again"
