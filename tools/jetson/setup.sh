#!/usr/bin/env bash
# Sets up googlenet_edge on a Jetson with JetPack 6.1 or newer: the system packages, a virtual environment that sees
# JetPack's TensorRT and OpenCV, pycuda, CUDA graphs, and on request the power mode. docs/jetson.md explains each step.
# Run it in the root of this project:  bash tools/jetson/setup.sh [--venv FOLDER] [--max-power] [--dry-run] [--help]
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: bash tools/jetson/setup.sh [OPTIONS]
  --venv FOLDER  where to make the virtual environment (default: .venv)
  --max-power    also switch to the board's MAXN power mode and fix its clocks (until the next restart); where the
                 mode needs a restart, nvpmodel asks before it does one: run jetson_clocks again after it
  --dry-run      print the commands that would run, and run none of them
  --help         this text
TEXT
}

fail() { echo "error: $*" >&2; exit 1; }

venv=.venv max_power=no dry_run=no
while [ $# -gt 0 ]; do
  case $1 in
    --venv) [ $# -ge 2 ] || { echo "error: --venv: got no folder; name one" >&2; usage >&2; exit 2; }
            venv=$2; shift ;;
    --max-power) max_power=yes ;;
    --dry-run) dry_run=yes ;;
    --help) usage; exit 0 ;;
    *) echo "error: got the argument '$1', expected one of these:" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

# Where the system's files are; tests point it elsewhere.
root=${JETSON_ROOT:-}

run() {
  echo "+ $*"
  [ "$dry_run" = yes ] || "$@"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then run "$@"; else run sudo "$@"; fi
}

# ---- what board is this

release=$root/etc/nv_tegra_release
[ -r "$release" ] || fail "got no /etc/nv_tegra_release, expected a Jetson; on other machines see 'Desktop GPU' in README.md"
l4t=$(sed -n 's/^# R\([0-9]*\) (release), REVISION: \([0-9.]*\),.*/\1.\2/p' "$release")
[ -n "$l4t" ] || fail "got a /etc/nv_tegra_release that names no release: $(head -1 "$release")"
major=${l4t%%.*} minor=${l4t#*.} minor=${minor%%.*}
if [ "$major" -lt 36 ] || { [ "$major" = 36 ] && [ "$minor" -lt 4 ]; }; then
  fail "got L4T $l4t, expected 36.4 (JetPack 6.1) or newer: older ones have a TensorRT before 10.3; flash JetPack 6.2 or newer"
fi
echo "== L4T $l4t"
[ -e pyproject.toml ] && [ -d googlenet_edge ] || fail "run this in the root of the project: there is no googlenet_edge/ here"

# ---- JetPack, a compiler for pycuda, and virtual environments

echo "== system packages"
as_root apt-get update
as_root apt-get install --yes nvidia-jetpack python3-venv python3-dev build-essential
# CSI cameras and pipelines run in GStreamer's own programs, which JetPack does not bring all of.
as_root apt-get install --yes gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
# JetPack's own OpenCV, or where it brings none the distribution's: PyPI's would bring a newer numpy along.
if ! "${JETSON_PYTHON:-/usr/bin/python3}" -c 'import cv2' 2>/dev/null; then
  as_root apt-get install --yes python3-opencv
fi

python=${JETSON_PYTHON:-/usr/bin/python3}
if [ "$dry_run" = no ]; then
  "$python" -c 'import tensorrt' || fail "$python cannot import tensorrt although nvidia-jetpack is installed: see the line above"
  "$python" -c 'import cv2; raise SystemExit("GStreamer:                   YES" not in cv2.getBuildInformation())' ||
    echo "warning: OpenCV is built without GStreamer: CSI cameras will not open (docs/jetson.md)" >&2
fi

# ---- the virtual environment

cuda=$root/usr/local/cuda
[ -x "$cuda/bin/nvcc" ] || [ "$dry_run" = yes ] ||
  fail "got no $cuda/bin/nvcc, expected JetPack's CUDA toolkit: pycuda is compiled with it; sudo apt install nvidia-jetpack"
cuda_major=
[ ! -r "$cuda/version.json" ] ||
  cuda_major=$(sed -n 's/.*"version" *: *"\([0-9]*\)\..*/\1/p' "$cuda/version.json" | head -1)
if [ -z "$cuda_major" ]; then
  if [ "$major" -lt 38 ]; then cuda_major=12; else cuda_major=13; fi
fi

echo "== virtual environment $venv, with a view of the system's packages"
if [ -e "$venv/pyvenv.cfg" ]; then
  grep -q '^include-system-site-packages = true' "$venv/pyvenv.cfg" ||
    fail "$venv does not see the system's packages, where TensorRT is; remove it, or name another folder: --venv FOLDER"
else
  run "$python" -m venv --system-site-packages "$venv"
fi
run env "PATH=$cuda/bin:$PATH" "CUDA_HOME=$cuda" "$venv/bin/python" -m pip install --upgrade \
  '.[jetson]' onnxruntime "cuda-bindings==$cuda_major.*"

echo "== what this board can do now"
run "$venv/bin/googlenet-edge" doctor

# ---- power: last, for some changes of the mode want a restart, and nvpmodel asks for it

if [ "$max_power" = yes ]; then
  echo "== power mode"
  models=$root/etc/nvpmodel.conf
  # The number of MAXN differs from board to board: it is 0 on AGX Orin, and 2 (MAXN_SUPER) on Orin Nano.
  mode=
  [ ! -r "$models" ] ||
    mode=$(sed -n 's/^ *< *POWER_MODEL *ID=\([0-9]*\) *NAME=MAXN[^ >]* *>.*/\1/p' "$models" | tail -1)
  if [ -n "$mode" ]; then
    as_root nvpmodel -m "$mode"
  else
    echo "warning: $models names no MAXN mode: choose one with 'sudo nvpmodel -p --verbose' and 'sudo nvpmodel -m N'" >&2
  fi
  as_root jetson_clocks
fi

echo "== done: . $venv/bin/activate && googlenet-edge run BUNDLE 0"
