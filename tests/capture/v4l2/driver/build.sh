#!/bin/sh
# Builds the software V4L2 driver: build.sh LIBRARY. Needs a C compiler (CC, default cc) and <linux/videodev2.h>.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
# Renamed whole: a process that has the old one loaded keeps it.
"${CC:-cc}" -std=gnu11 -O2 -g -fPIC -Wall -Wextra -shared -o "$1.$$" "$here"/*.c -lpthread -ldl
mv "$1.$$" "$1"
