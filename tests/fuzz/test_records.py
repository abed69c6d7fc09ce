"""Thousands of damaged files in a results folder: each is what it was, or a gap with a reason."""

import json
import random
import re
import shutil

import numpy as np
import pytest

from harness.data.protocols import target_split
from harness.errors import HarnessError
from harness.plan import splitfile
from harness.plan.datasets import Datasets
from harness.record.reading import checksum
from harness.record.schema import Coordinates, Plan, Record, Trial
from harness.record.store import Store
from harness.report.analysis import predictions, trained
from harness.report.analysis.details import collect
from harness.report.analysis.results import summary, tidy
from harness.report.tables.text import cells_table

LABELS, SEEDS = ("from_scratch", "linear_probe"), (0, 1)

ODD = [
    *("NaN", "Infinity", "-Infinity", "1e999", "-1", "0", "1.0", "true", "null", '""', "[]", "{}"),
    *("9" * 30, "9" * 5000, "1e-400", '"ok"', '"failed"', '"\\ud800"', '"\\u0000"', "[" * 5000),
    *("[" * 900 + "]" * 900, '{"a": ' * 900 + "1" + "}" * 900, "[[1, 2], [3]]", '{"accuracy": 1}'),
    *("-0.0", "18446744073709551616", '"<script>"', "[null]", '"2"', "3", '"../../x"'),
]


def coordinates(label, seed):
    return Coordinates(
        cell=f"{label}-{seed}",
        suite="small",
        label=label,
        strategy=label,
        dataset="digits",
        problem="digits",
        protocol="transfer",
        shots="all",
        backbone="conv4",
        seed=seed,
    )


def record(cell):
    """Every field of a record has something in it."""
    accuracy = 0.5 + 0.1 * cell.seed + 0.2 * (cell.label == "linear_probe")
    return Record(
        **cell.model_dump(),
        status="ok",
        reason="its FLOPs could not be counted: no reason",
        config={"budget": {"trials": 2}, "strategy_spec": {"name": cell.label, "args": {"a": 1}}},
        meaning={"schema": 1, "budget": {"trials": 2}, "data": "0f", "seed": cell.seed},
        split_hash="split",
        trials=[
            Trial(number=n, state="complete", settings={"lr": 0.1}, value=0.5, curve=[(10, 0.4)])
            for n in range(2)
        ],
        selected=1,
        metrics={"accuracy": accuracy, "accuracy_val": 0.5, "log_loss": 1.25},
        seconds={"pretrain": 3.0, "tune": 1.5, "fit": 0.5, "test": 0.1, "total": 2.0},
        cached=["pretrain"],
        peak_host_bytes=400_000_000,
        trainable_params=650,
        total_params=1000,
        flops={"fit": 6.5e8, "predict": 133_792.0},
        throughput={"1": 412.0, "256": 12_345.0},
        leaks={"train-test": 2},
        provenance={"host": "alpha", "cores": 2},
    )


def arrays(seed):
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(60, 3)).astype(np.float32)
    return {"logits": logits, "labels": draw.integers(0, 3, 60), "ids": np.arange(60)}


PLANNED = [coordinates(label, seed) for label in LABELS for seed in SEEDS]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A results folder with nothing wrong in it."""
    store = Store(tmp_path_factory.mktemp("original") / "small")
    config = {"name": "small", "budget": {"trials": 2}}
    store.write_plan(Plan(suite="small", config=config, cells=PLANNED))
    for number, cell in enumerate(PLANNED):
        store.write_record(record(cell))
        store.write_predictions(cell.cell, arrays(number))
    store.write_split("split", {"dataset": "digits", "classes": ["a", "b", "c"], "train": [1, 2]})
    return store


@pytest.fixture
def store(original, tmp_path):
    """A copy, to be damaged."""
    shutil.copytree(original.directory, tmp_path / "small")
    return Store(tmp_path / "small")


# ── harms ─────────────────────────────────────────────────────────────────────────────────────


def flip(content, other, draw):
    """One bit."""
    content = bytearray(content)
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(content)


def truncate(content, other, draw):
    return content[: draw.randrange(len(content))]


def zero(content, other, draw):
    """As a file system may leave what was not on the disk yet."""
    start = draw.randrange(len(content))
    length = draw.randrange(1, 4096)
    return content[:start] + bytes(length) + content[start + length :]


def splice(content, other, draw):
    return content[: draw.randrange(len(content))] + other[draw.randrange(len(other)) :]


def replace_whole(content, other, draw):
    return draw.choice([other, b"", b"null", b"[]", b"{}", b"\xef\xbb\xbf" + content, content * 2])


VALUE = re.compile(r'(?<=: )(?:"[^"\n]*"|[-+.\w]+)|(?<=  )[-.\d]+(?=,?\n)')


def revalue(content, other, draw):
    """One value of a JSON file is another."""
    text = content.decode()
    found = draw.choice([*VALUE.finditer(text)])
    return (text[: found.start()] + draw.choice(ODD) + text[found.end() :]).encode()


def nudge(content, other, draw):
    """One digit."""
    text = content.decode()
    place = draw.choice([*re.finditer(r"(?<=[ .\d])\d", text)]).start()
    digit = draw.choice("0123456789".replace(text[place], ""))
    return (text[:place] + digit + text[place + 1 :]).encode()


def repeat_key(content, other, draw):
    """One key stands there twice, and says two things."""
    text = content.decode()
    found = draw.choice([*re.finditer(r'("\w+"): ', text)])
    return (
        f"{text[: found.start()]}{found[1]}: {draw.choice(ODD)}, {text[found.start() :]}".encode()
    )


def drop_line(content, other, draw):
    lines = content.splitlines(keepends=True)
    del lines[draw.randrange(len(lines))]
    return b"".join(lines)


BYTES = [flip, flip, truncate, zero, splice]
JSON = [*BYTES, replace_whole, revalue, revalue, nudge, nudge, repeat_key, drop_line]


def sealed(content):
    """The same JSON with a checksum that fits: another program's, not a damaged one."""
    table = json.loads(content)
    table.pop("checksum", None)
    return json.dumps({**table, "checksum": checksum(table)}).encode()


# ── records ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_record_is_the_original_or_a_gap_with_a_reason(store, watched, seed):
    draw = random.Random(f"records {seed}")
    files = {cell.cell: store.directory / f"records/{cell.cell}.json" for cell in PLANNED}
    whole = {key: file.read_bytes() for key, file in files.items()}
    gaps = 0
    for number in range(500):
        cell, other = draw.sample(PLANNED, 2)
        content = draw.choice(JSON)(whole[cell.cell], whole[other.cell], draw)
        files[cell.cell].write_bytes(content)
        with watched(content):
            found, doubted = store.judged(cell)
            doubt = f"its record {doubted}"
            if found is None:
                gaps += 1
                assert doubt.isprintable()
                assert len(doubt) < 300
            else:
                assert (repr(found), doubted) == (repr(record(cell)), None)
            if number % 25 == 0:
                rows = store.frame().set_index("cell")
                assert (rows["status"] == "damaged").sum() == (found is None)
                assert rows.loc[cell.cell, "reason"] == (doubt if doubted else record(cell).reason)
                told = [line for line in store.set_aside(PLANNED) if doubt in line]
                assert len(told) == (found is None)
        files[cell.cell].write_bytes(whole[cell.cell])
    assert gaps > 350


@pytest.mark.parametrize("seed", range(2))
def test_what_another_program_seals_is_a_valid_record_or_refused(store, watched, seed):
    """Whatever it holds, tables can be made of it."""
    draw = random.Random(f"sealed {seed}")
    cell = PLANNED[0]
    file = store.directory / f"records/{cell.cell}.json"
    whole = file.read_bytes()
    for _ in range(80):
        try:
            content = sealed(draw.choice([revalue, nudge, drop_line])(whole, whole, draw))
        except (ValueError, RecursionError):
            continue  # no JSON at all
        file.write_bytes(content)
        with watched(content):
            frame = tidy(collect(store)[0])
            cells_table(frame)
            summary(frame)


# ── plans ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(2))
def test_a_damaged_plan_is_the_original_or_refused(store, watched, seed):
    draw = random.Random(f"plans {seed}")
    file = store.directory / "plan.json"
    whole, plan = file.read_bytes(), store.plan()
    for _ in range(250):
        content = draw.choice(JSON)(whole, whole, draw)
        file.write_bytes(content)
        with watched(content):
            assert store.plan() == plan


@pytest.mark.parametrize("seed", range(2))
def test_a_damaged_plan_without_a_checksum_gives_no_cell_other_numbers(store, watched, seed):
    """Plans of version 1 had none."""
    draw = random.Random(f"old plans {seed}")
    file = store.directory / "plan.json"
    old = json.loads(file.read_text()) | {"schema_version": 1}
    del old["checksum"]
    whole = json.dumps(old, indent=1).encode()
    right = {cell.cell: record(cell).metrics["accuracy"] for cell in PLANNED}
    for _ in range(250):
        content = draw.choice(JSON)(whole, whole, draw)
        file.write_bytes(content)
        with watched(content):
            for row in store.frame().itertuples():
                assert row.status in ("damaged", "pending") or row.accuracy == right[row.cell]
            tidy(store.frame())


# ── splits ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(2))
def test_a_damaged_file_of_splits_gives_the_original_split_or_none(
    registry, tmp_path, watched, seed
):
    draw = random.Random(f"splits {seed}")
    loaded = Datasets(registry).load("digits", {})
    drawn = {
        (shots, seed): target_split(
            loaded.data, shots=shots, seed=seed, val_fraction=0.2, test_fraction=0.2
        )
        for shots in (1, "all")
        for seed in SEEDS
    }
    text = splitfile.write("digits", loaded, [(*key, split) for key, split in drawn.items()])
    whole = json.dumps(json.loads(text), indent=1).encode()
    file = tmp_path / "splits.json"
    for _ in range(100):
        content = draw.choice(JSON)(whole, whole, draw)
        file.write_bytes(content)
        for (shots, of), split in drawn.items():
            with watched(content):
                assert splitfile.read(file).manifest(loaded, shots, of) == split


@pytest.mark.parametrize("seed", range(2))
def test_a_damaged_manifest_is_put_right_and_stops_no_report(store, watched, seed):
    draw = random.Random(f"manifests {seed}")
    file = store.directory / "splits/split.json"
    whole = file.read_bytes()
    frame = tidy(store.frame())
    for _ in range(50):
        content = draw.choice(BYTES)(whole, whole, draw)
        file.write_bytes(content)
        with watched(content):
            found, _ = predictions.read(store.directory, frame)
            assert [len(p.classes) for p in found] == [3, 3]
            store.write_split("split", json.loads(whole))
            assert file.read_bytes() == whole


# ── predictions ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(4))
def test_damaged_predictions_are_the_original_or_left_out(store, watched, seed):
    draw = random.Random(f"predictions {seed}")
    files = [store.directory / f"predictions/{cell.cell}.npz" for cell in PLANNED]
    whole = [file.read_bytes() for file in files]
    frame = tidy(store.frame())
    before, _ = predictions.read(store.directory, frame)
    tested = trained.compared(files[0], files[0])
    lost = 0
    for _ in range(150):
        content = draw.choice(BYTES)(whole[0], whole[1], draw)
        files[0].write_bytes(content)
        with watched(content):
            found, unread = predictions.read(store.directory, frame)
            assert [p.label for p in found] + [u.label for u in unread] in (
                ["from_scratch", "linear_probe"],
                ["linear_probe", "from_scratch"],
            )
            for one in found:
                same = before[LABELS.index(one.label)]
                assert (one.confusion == same.confusion).all()
                assert all((a == b).all() for a, b in zip(one.bins, same.bins, strict=True))
            for one in unread:
                lost += 1
                assert one.why.isprintable()
            assert trained.compared(files[0], files[0]) in (tested, None)
    assert lost > 100


# ── commands ──────────────────────────────────────────────────────────────────────────────────


def harmed(store, draw):
    """One file of each kind is damaged."""
    for kind, harms in (("records", JSON), ("predictions", BYTES), ("splits", JSON)):
        file = draw.choice(sorted((store.directory / kind).iterdir()))
        other = draw.choice(sorted((store.directory / kind).iterdir()))
        file.write_bytes(draw.choice(harms)(file.read_bytes(), other.read_bytes(), draw))
    if draw.random() < 0.3:
        file = store.directory / "plan.json"
        file.write_bytes(draw.choice(JSON)(file.read_bytes(), file.read_bytes(), draw))


@pytest.mark.parametrize("seed", range(4))
def test_commands_tell_in_words_what_is_damaged(harness, original, tmp_path, seed):
    draw = random.Random(f"commands {seed}")
    folder = tmp_path / "results/small"
    shutil.copytree(original.directory, folder)
    harmed(Store(folder), draw)
    commands = [["export", folder, "--format", f] for f in ("csv", "json", "parquet")]
    commands += [["compare", folder, *LABELS], *([["report", folder]] if seed == 0 else [])]
    for words in commands:
        ended = harness(*words)
        assert ended.status in (0, 2), ended.err
        assert "Traceback" not in ended.err
        if ended.status == 2:
            assert len(ended.err.splitlines()) == 1
    try:
        rows = Store(folder).frame()
    except HarnessError:
        return
    assert set(rows["status"]) <= {"ok", "damaged"}
