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

keep() {
    local kept="results/reference/$1-cuda"
    mkdir -p "$kept"
    cp "$out/$1"/report/tables/*.md "$out/$1"/report/tables/*.csv "$kept/"
    cp "$out/$1"/report/index.html "$kept/"
}

# Full fine-tuning of a ResNet-50 and a ViT-S/16 at 224 pixels (random weights serve) in the loop's
# time against a bare loop's, timm's and the matrix rate; probes; MAML, and what a CUDA graph would
# bring it; files that are streamed. One that fails takes nothing from the others.
failed=0
python -m pytest -s -q tests/benchmarks/test_{training,probes,maml,streams}.py \
    --benchmark-enable --benchmark-json "$out/benchmarks.json" | tee "$out/benchmarks.txt" || failed=1
mkdir -p results/reference/benchmarks-cuda
cp "$out"/benchmarks.{json,txt} results/reference/benchmarks-cuda/

# What bfloat16 and TF32 leave of accuracy: the same cells in each precision.
for precision in float32 tf32 bfloat16; do
    run suite quickstart --device "$device" --results "$out/$precision" --set "budget.precision=\"$precision\"" \
        --only seed=0 --format json > "results/reference/benchmarks-cuda/$precision.json"
done

run suite quickstart --device "$device" --results "$out" && keep quickstart
if [ -d data/omniglot ]; then
    run suite omniglot --device "$device" --results "$out" && keep omniglot
fi
if [ -f data/mnist.npz ]; then
    run suite mnist --device "$device" --results "$out" --plugin tests/realdata/cifar_resnet20.py &&
        keep mnist
fi
exit "$failed"
