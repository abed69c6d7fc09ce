"""How often drift is told of test inputs, which are like the validation examples:

    python tests/benchmarks/drift_alarms.py results/text results/photos

of each cell's model, by its answers to validation examples, as ``harness predict`` does it; and by
answers to half of the test instead, which selected nothing.
"""

import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from harness.record.arrays import read_arrays
from harness.record.reading import InvalidFile
from harness.ship.runtime.drift import ALARM, FEWEST, learn

BATCHES, HALVES = 300, 40
NAMES = ("val_logits", "val_labels", "logits")


def answers(folders):
    """The logits of validation and test examples, by cell."""
    for folder in folders:
        for file in sorted((Path(folder) / "predictions").glob("*.npz")):
            with suppress(InvalidFile):
                found = {}
                for name in NAMES:
                    found |= read_arrays(file, name)
                if found.keys() == {*NAMES} and len(found["val_labels"]) >= FEWEST:
                    yield found["val_logits"], found["logits"]


def alarms(reference, test, size, batches, draw):
    drawn = (draw.choice(len(test), size, replace=False) for _ in range(batches))
    return np.mean([reference.drift(test[rows]) < ALARM for rows in drawn])


def main():
    cells, draw = [*answers(sys.argv[1:])], np.random.default_rng(0)
    for size in (20, 100):
        usual, fair = [], []
        for val, test in cells:
            half = min(len(val), len(test) // 2)
            if len(test) - half < size or half < FEWEST:
                continue
            usual.append(alarms(learn(val), test, size, BATCHES, draw))
            for _ in range(HALVES):
                order = draw.permutation(len(test))
                other = learn(test[order[:half]])
                fair.append(alarms(other, test[order[half:]], size, BATCHES // HALVES, draw))
        if usual:
            print(
                f"{size} inputs, {len(usual)} models: {100 * np.mean(usual):.2f} % of batches drift"
                f" by validation examples, {100 * np.mean(fair):.2f} % by test examples"
            )


if __name__ == "__main__":
    main()
