#!/usr/bin/env bash
# Runs the tests that need a real GPU, and packs what they and the machine say into one file that can be sent.
# Usage: PYTHON=.venv/bin/python BUNDLES="demo-fp16 demo-int8" OUT=out bash tools/test_gpu.sh [pytest's arguments]
set -euo pipefail

python=${PYTHON:-.venv/bin/python} out=${OUT:-out}
report=$out/gpu-report
fail() { echo "error: $*" >&2; exit 1; }

"$python" -c 'import pytest' 2>/dev/null ||
  fail "$python cannot import pytest: name the Python that has this package (PYTHON=...), with: pip install '.[test]'"
rm -rf "$report"
mkdir -p "$report"
# Is there a GPU at all? A report of skipped tests would look like a good one.
"$python" -m googlenet_edge doctor --json >"$report/doctor.json" || true
"$python" -m googlenet_edge doctor --require tensorrt >"$report/doctor.txt" 2>&1 ||
  { cat "$report/doctor.txt"; fail "TensorRT cannot run here, so nothing was tested; the table above says what is missing"; }

status=0
# Warnings of a board's own packages belong into the report; as errors they would hide what was to be measured.
"$python" -m pytest tests/gpu -m gpu -W default -o junit_family=xunit1 --junitxml "$report/tests.xml" "$@" 2>&1 | tee "$report/tests.txt" || status=$?
# What each layer costs on this device, for each bundle that was named.
read -r -a bundles <<<"${BUNDLES:-}"
for bundle in "${bundles[@]}"; do
  name=$(basename "$bundle")
  "$python" -m googlenet_edge bench "$bundle" --layers --json "$report/layers-$name.json" \
    >"$report/layers-$name.txt" 2>&1 || { status=1; tail -3 "$report/layers-$name.txt"; }
done
tar -czf "$report.tar.gz" -C "$out" gpu-report
echo "== the report is $report.tar.gz: results, this machine's hardware and software, layer times; no images, no weights"
exit "$status"
