#!/bin/sh
# Prints the folder of a CUDA toolkit that has nvcc and the driver's headers: CUDA_HOME, or that of the nvcc on the path,
# or /usr/local/cuda. Where there is none it prints to stderr in one line what is missing, and fails.
nvcc=$(command -v nvcc || true)
for root in "${CUDA_HOME:-}" "${nvcc:+$(dirname "$(dirname "$(readlink -f "$nvcc")")")}" /usr/local/cuda; do
  if [ -n "$root" ] && [ -x "$root/bin/nvcc" ] && [ -e "$root/include/cuda.h" ] && [ -e "$root/include/cudaTypedefs.h" ]; then
    echo "$root"
    exit 0
  fi
done
echo "no CUDA toolkit: got no nvcc with cuda.h under CUDA_HOME, on the path or in /usr/local/cuda" >&2
exit 1
