#!/bin/sh
# Builds the software CUDA driver, libcuda.so.1, into a folder; does nothing if it is there and newer than its sources.
# Usage: build.sh FOLDER
# Needs a C compiler (CC, default cc), python3 and CUDA's headers (tools/find_cuda.sh). Says what is missing, and fails,
# where one is.
set -eu

folder=$1
here=$(cd "$(dirname "$0")" && pwd)
compiler=${CC:-cc}
fail() { echo "error: $*" >&2; exit 1; }

cuda=$(sh "$here/../../../tools/find_cuda.sh") || fail "the software CUDA driver needs CUDA's headers; set CUDA_HOME"
include=$cuda/include
command -v "$compiler" >/dev/null || fail "no C compiler: got none named $compiler; install gcc, or set CC"

library=$folder/libcuda.so.1
if [ -e "$library" ] && [ -z "$(find "$here" -type f -newer "$library")" ]; then
  exit 0
fi

mkdir -p "$folder"
work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
flags="-std=gnu2x -O2 -g -fPIC -Wall -Wextra -Werror"
for source in "$here"/*.c; do
  # shellcheck disable=SC2086 # a list of words
  "$compiler" $flags -I"$include" -c "$source" -o "$work/$(basename "$source" .c).o"
done
python3 "$here/entry_points.py" "$include" "$work/entry_points.c" "$compiler" "$work"/*.o
# shellcheck disable=SC2086 # a list of words
"$compiler" $flags -c "$work/entry_points.c" -o "$work/entry_points.o"
# Only what a driver exports is seen by others; the driver's own names must not meet those of other libraries.
echo '{ global: cu*; softcuda_*; local: *; };' >"$work/exports"
"$compiler" -shared -Wl,--version-script="$work/exports" -Wl,-soname,libcuda.so.1 -o "$work/libcuda.so.1" "$work"/*.o -lpthread
ln -sf libcuda.so.1 "$folder/libcuda.so"
# Renamed whole: a process that has the old one loaded keeps it.
mv "$work/libcuda.so.1" "$library"
