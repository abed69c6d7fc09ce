#!/usr/bin/env bash
# Runs the suites on a CUDA device and keeps their tables here.
#
#   results/reference/gpu.sh [DEVICE]
#
# omniglot and mnist need their data under data/ and are left out where it is absent; each
# suite's header says what it wants. From a checkout: PYTHONPATH=.:plugins results/reference/gpu.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
device="${1:-cuda}"
out="results/cuda"

run() { python -c 'from harness.cli import main; main()' "$@"; }

keep() {
    local kept="results/reference/$1-cuda"
    mkdir -p "$kept"
    cp "$out/$1"/report/tables/*.md "$out/$1"/report/tables/*.csv "$kept/"
    cp "$out/$1"/report/index.html "$kept/"
}

run suite quickstart --device "$device" --results "$out" && keep quickstart
if [ -d data/omniglot ]; then
    run suite omniglot --device "$device" --results "$out" && keep omniglot
fi
if [ -f data/mnist.npz ]; then
    run suite mnist --device "$device" --results "$out" --plugin tests/realdata/cifar_resnet20.py &&
        keep mnist
fi
