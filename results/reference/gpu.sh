#!/usr/bin/env bash
# Runs the benchmarks and the suites on a CUDA device and keeps their tables here: some ten minutes.
#
#   results/reference/gpu.sh [DEVICE]
#
# Benchmarks want pytest-benchmark, and learn2learn if it is to be the peer (a written-out loop is,
# otherwise). omniglot and mnist need their data under data/ and are left out where it is absent;
# each suite's header says what it wants. From a checkout: PYTHONPATH=.:plugins results/reference/gpu.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
device="${1:-cuda}"
out="results/cuda"
mkdir -p "$out"

run() { python -c 'from harness.cli import main; main()' "$@"; }

# A cell that is not ok, or a suite that is refused, takes nothing from what comes after.
failed=0

# Whatever report a suite has come to, also where not all of its cells are ok.
keep() {
    local report="$out/$1/report" kept="results/reference/$1-cuda"
    [ -f "$report/index.html" ] || return 0
    mkdir -p "$kept"
    find "$report/tables" \( -name '*.md' -o -name '*.csv' \) -exec cp -t "$kept" {} +
    cp "$report/index.html" "$kept/"
}

suite() {
    run suite "$1" --device "$device" --results "$out" "${@:2}" || failed=1
    keep "$1"
}

# Full fine-tuning of a ResNet-50 and a ViT-S/16 at 224 pixels (random weights serve) in the loop's
# time against a bare loop's, timm's and the matrix rate; probes; MAML, and what a CUDA graph would
# bring it; files that are streamed.
python -m pytest -s -q tests/benchmarks/test_{training,probes,maml,streams}.py \
    --benchmark-enable --benchmark-json "$out/benchmarks.json" | tee "$out/benchmarks.txt" || failed=1
mkdir -p results/reference/benchmarks-cuda
for written in "$out"/benchmarks.{json,txt}; do
    # The JSON is not there where no benchmark came to its end.
    if [ -s "$written" ]; then cp "$written" results/reference/benchmarks-cuda/; fi
done

# What bfloat16 and TF32 leave of accuracy: the same cells in each precision.
for precision in float32 tf32 bfloat16; do
    run suite quickstart --device "$device" --results "$out/$precision" --set "budget.precision=\"$precision\"" \
        --only seed=0 --format json > "results/reference/benchmarks-cuda/$precision.json" || failed=1
done

suite quickstart
if [ -d data/omniglot ]; then
    suite omniglot
fi
if [ -f data/mnist.npz ]; then
    suite mnist --plugin tests/realdata/cifar_resnet20.py
fi
exit "$failed"
