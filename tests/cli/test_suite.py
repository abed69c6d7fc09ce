"""``harness suite``: run, resume, retry, interrupt; what lands where, and how it ends."""

import csv
import io
import json
import re
import shlex

import pytest

from harness.record.store import Store
from harness.report import write


def rows(harness, results):
    return list(csv.DictReader(io.StringIO(harness("export", results).out)))


def numbers(results):
    """What the cells of a results folder came to, without times."""
    return {
        record.title: (record.metrics, [(t.settings, t.value, t.loss) for t in record.trials])
        for record in Store(results).records()
    }


def written(results):
    """The records, byte by byte, and when they were written."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in (results / "records").iterdir()
    }


# ── a run ─────────────────────────────────────────────────────────────────────────────────────


def test_a_suite_leaves_records_a_plan_and_a_report(harness, tiny_suite, tmp_path):
    ended = harness("suite", tiny_suite)
    assert ended.status == 0
    results = tmp_path / "results" / "tiny"
    plan = json.loads((results / "plan.json").read_text())
    keys = [cell["cell"] for cell in plan["cells"]]
    assert len(keys) == 4
    assert {path.stem for path in (results / "records").glob("*.json")} == set(keys)
    assert {path.stem for path in (results / "predictions").glob("*.npz")} == set(keys)
    assert len(list((results / "splits").glob("*.json"))) == 2  # one a seed: luck is paired
    page = (results / "report" / "index.html").read_text()
    assert "linear_probe" in page
    assert ended.err.splitlines()[0] == "tiny: 4 cells, 0 done before, 4 to do"
    assert ended.err.splitlines()[-1] == f"report: {results}/report/index.html"
    assert re.search(r"\[./4\] ok .* full_finetune on digits, 2-shot, seed 1 \(conv4\)", ended.err)
    assert "[4/4] ok" in ended.err
    assert "linear_probe" in ended.out


def test_a_record_holds_everything(results):
    for record in Store(results).records():
        assert record.status == "ok"
        assert len(record.trials) == 2
        assert record.config["budget"]["steps"] == 3
        assert {"accuracy", "accuracy_val", "log_loss", "f1_macro"} <= set(record.metrics)
        assert {"prepare", "features", "tune", "fit", "test", "total"} <= set(record.seconds)
        assert record.provenance["device"] == "cpu"


def test_one_seed_is_one_split_for_every_strategy(results):
    splits = {}
    for record in Store(results).records():
        splits.setdefault(record.seed, set()).add(record.split_hash)
    assert {len(hashes) for hashes in splits.values()} == {1}
    assert splits[0] != splits[1]


def test_the_same_command_again_does_nothing_twice(harness, results, tiny_suite, no_report):
    before = written(results)
    ended = harness("suite", tiny_suite)
    assert ended.status == 0
    assert ended.err.splitlines()[0] == "tiny: 4 cells, 4 done before, 0 to do"
    assert written(results) == before


def test_the_same_suite_elsewhere_gives_the_same_numbers(
    harness, results, tiny_suite, no_report, tmp_path
):
    assert harness("suite", tiny_suite, "--results", "elsewhere").status == 0
    assert numbers(tmp_path / "elsewhere" / "tiny") == numbers(results)


def test_two_workers_give_the_same_numbers_as_one(
    harness, results, tiny_suite, no_report, tmp_path
):
    ended = harness("suite", tiny_suite, "--results", "elsewhere", "--jobs", "2")
    assert ended.status == 0, ended.err
    assert "[4/4]" in ended.err
    assert numbers(tmp_path / "elsewhere" / "tiny") == numbers(results)


def test_an_unfinished_suite_goes_on(harness, results, tiny_suite, no_report):
    before = written(results)
    gone, *kept = sorted(before)
    (results / "records" / gone).unlink()
    ended = harness("suite", tiny_suite)
    assert ended.err.splitlines()[0] == "tiny: 4 cells, 3 done before, 1 to do"
    after = written(results)
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert gone in after


def test_more_seeds_only_add_cells(harness, results, tiny_suite, no_report):
    ended = harness("suite", tiny_suite, "--set", "seeds=[0, 1, 2]")
    assert ended.err.splitlines()[0] == "tiny: 6 cells, 4 done before, 2 to do"


def test_seeds_are_added_where_there_is_no_winner(harness, results, tiny_suite, no_report):
    """Two seeds are done and show nothing, so that there are three; the same again adds none."""
    added = ("--set", "seeds={ from = 2, to = 3 }")
    told = harness("suite", tiny_suite, *added).err
    assert told.startswith("tiny: 6 cells, 4 done before, 2 to do\n")
    assert len(rows(harness, results)) == 6
    told = harness("suite", tiny_suite, *added).err
    assert told.startswith("tiny: 6 cells, 6 done before, 0 to do\n")


def test_the_command_that_adds_seeds_is_given_what_the_first_was(
    harness, edited, own_probe, no_report, tmp_path
):
    file = own_probe()
    suite = edited('"full_finetune"', '"mine"')
    own = ("--set", "budget.steps=4", "--plugin", file, "--results", tmp_path / "mine")
    ended = harness("suite", suite, *own)
    added = "--set 'seeds={ from = 2, to = 10, margin = 1.0 }'"
    command = (
        f"harness suite {suite} --set budget.steps=4 {added} --plugin {file}"
        f" --results {tmp_path / 'mine'}"
    )
    assert f"one cell at a time: {command}\n" in ended.out
    more = harness(*shlex.split(command)[1:], "--dry-run")
    assert "4 done, " in more.out


def test_only_some_cells_can_be_run(harness, tiny_suite, no_report, tmp_path):
    ended = harness("suite", tiny_suite, "--only", "label=linear_probe", "--only", "seed=1")
    assert ended.status == 0
    found = rows(harness, tmp_path / "results" / "tiny")
    assert [row["status"] for row in found] == ["pending", "pending", "ok", "pending"]


def test_json_is_all_there_is_on_standard_output(harness, results, tiny_suite, no_report):
    ended = harness("suite", tiny_suite, "--format", "json")
    assert [row["status"] for row in json.loads(ended.out)] == ["ok"] * 4
    assert "4 done before" in ended.err


# ── a dry run ─────────────────────────────────────────────────────────────────────────────────


def test_a_dry_run_shows_the_cells_and_writes_nothing(harness, tiny_suite, tmp_path):
    ended = harness("suite", tiny_suite, "--dry-run")
    assert (ended.status, ended.err) == (0, "")
    *cells, total, room = ended.out.splitlines()
    assert all(re.fullmatch(r"[0-9a-f]{16} +≈ \d+ s  \S.* \(conv4\)", cell) for cell in cells)
    assert re.fullmatch(
        r"4 cells, 0 done, 4 to do: ≈ \d+ s on this machine, (one|\d+) at a time", total
    )
    assert re.fullmatch(
        r"memory: up to \S+ GB of \S+ GB free; disk: about \S+ MB of \S+ [GM]B free", room
    )
    assert not (tmp_path / "results").exists()


def test_a_dry_run_tells_what_is_done(harness, results, tiny_suite, unchanged):
    ended = harness("suite", tiny_suite, "--dry-run", "--set", "seeds=[1, 2]")
    *cells, total, _ = ended.out.splitlines()
    assert [cell.split()[1] for cell in cells] == ["ok", "ok", "≈", "≈"]
    assert total.startswith("4 cells, 2 done, 2 to do: ")
    done = harness("suite", tiny_suite, "--dry-run")
    assert done.out.splitlines()[-1] == "4 cells, 4 done, 0 to do"


def test_a_dry_run_tells_what_may_come(harness, tiny_suite):
    added = ("--set", "seeds={ from = 2, to = 4 }")
    *_, total, more, _ = harness("suite", tiny_suite, "--dry-run", *added).out.splitlines()
    assert total.startswith("4 cells, 0 done, 4 to do: ")
    assert more.startswith("up to 4 cells more where settings have no winner: ")
    found = json.loads(harness("suite", tiny_suite, "--dry-run", *added, "--format", "json").out)
    assert (len(found["cells"]), len(found["later"])) == (4, 4)


def test_a_dry_run_is_data_too(harness, results, tiny_suite, unchanged):
    ended = harness("suite", tiny_suite, "--dry-run", "--format", "json", "--set", "seeds=[1, 2]")
    found = json.loads(ended.out)
    assert found["directory"] == str(results)
    assert [cell["done"] for cell in found["cells"]] == [True, True, False, False]
    assert [cell["seconds"] is None for cell in found["cells"]] == [True, True, False, False]
    assert [cell["disk_bytes"] is None for cell in found["cells"]] == [True, True, False, False]
    assert found["memory_bytes"] >= found["at_once"] * max(
        json.loads(record.read_bytes())["peak_host_bytes"]
        for record in (results / "records").glob("*.json")
    )


PUBLISHED = """
name = "published"
seeds = [0]
strategies = ["linear_probe"]
budget = { trials = 1, steps = 1, batch_size = 2 }
backbones = [{ model = "bert", args = { checkpoint = "some/unheard-of" } }]
problems = [{ dataset = "csv_text", args = { train = "pets.csv" }, shots = 1 }]
"""


def test_a_model_of_a_hub_that_does_not_answer_costs_nobody_knows_what(harness, tmp_path, no_hub):
    pytest.importorskip("transformers")
    rows = [f"a {pet} number {n},{pet}" for pet in ("cat", "dog") for n in range(9)]
    (tmp_path / "pets.csv").write_text("\n".join(["text,label", *rows]))
    (tmp_path / "published.toml").write_text(PUBLISHED)
    ended = harness("suite", "published.toml", "--dry-run")
    assert ended.status == 0, ended.err
    cell, total, _ = ended.out.splitlines()
    assert cell.split()[1] == "?"
    assert total == "1 cells, 0 done, 1 to do"


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def failing(edited, tmp_path):
    """The suite with a strategy that fails as long as there is no file ``mended``."""
    spec = f'{{ name = "raises", args = {{ mended = "{tmp_path}/mended" }} }}'
    return edited(
        'strategies = ["linear_probe", "full_finetune"]',
        f"""strategies = [
        {spec}, {{ name = "linear_probe" }}
    ]""",
    )


def test_a_cell_that_fails_is_a_record_and_the_others_finish(
    harness, failing, toy, no_report, tmp_path
):
    ended = harness("suite", failing, *toy)
    assert ended.status == 1
    found = rows(harness, tmp_path / "results" / "tiny")
    assert [(row["label"], row["status"]) for row in found] == [
        ("raises", "failed"),
        ("linear_probe", "ok"),
        ("raises", "failed"),
        ("linear_probe", "ok"),
    ]
    assert re.fullmatch(
        r"ZeroDivisionError: it does not add up \(toy_plugin.py, line \d+\)", found[0]["reason"]
    )
    assert (found[0]["trials"], found[0]["trials_failed"], found[0]["accuracy"]) == ("2", "2", "")
    assert ended.err.splitlines()[-2:] == [
        f"failed: 2 cells, raises on digits (seeds 0, 1): {found[0]['reason']}",
        "failed: Read the reason and the traceback, which the report has, mend what it names, and "
        "go on with --retry failed.",
    ]
    record = next(r for r in Store(tmp_path / "results" / "tiny").records() if r.status != "ok")
    assert "toy_plugin.py" in record.traceback


def test_what_failed_is_not_run_again_unless_asked_for(harness, failing, toy, no_report, tmp_path):
    results = tmp_path / "results" / "tiny"
    harness("suite", failing, *toy)
    before = written(results)
    (tmp_path / "mended").touch()
    again = harness("suite", failing, *toy)
    assert (again.status, written(results)) == (1, before)
    others = harness("suite", failing, *toy, "--retry", "oom,crashed")
    assert (others.status, written(results)) == (1, before)
    retried = harness("suite", failing, *toy, "--retry", "failed")
    assert retried.status == 0
    assert retried.err.splitlines()[1] == "tiny: 4 cells, 2 done before, 2 to do"
    after = written(results)
    ok = {r.cell for r in Store(results).records() if r.strategy == "linear_probe"}
    assert {n: after[n] for n in after if n[:-5] in ok} == {
        n: before[n] for n in before if n[:-5] in ok
    }
    assert {row["status"] for row in rows(harness, results)} == {"ok"}


def test_a_tracker_follows_the_run_only_if_asked(harness, tiny_suite, plugin_file, no_report):
    file = plugin_file(
        "follower",
        """
        from typing import ClassVar
        from harness.api import Tracker, hookimpl

        class Follower(Tracker):
            name: ClassVar[str] = "follower"

            def __init__(self):
                self.trials = 0

            @hookimpl
            def harness_trial_finished(self, cell, trial):
                self.trials += 1

            @hookimpl
            def harness_suite_finished(self, suite, directory):
                print(f"{self.trials} trials of {suite}")

        @hookimpl
        def harness_trackers():
            return [Follower]
        """,
    )
    arguments = ("suite", tiny_suite, "--plugin", file, "--only", "seed=0")
    ended = harness(*arguments, "--tracker", "follower")
    assert ended.status == 0, ended.err
    assert "4 trials of tiny" in ended.out
    assert "trials of" not in harness(*arguments).out
    wrong = harness(*arguments, "--tracker", "folower")
    assert wrong.status == 2
    assert "did you mean 'follower'?" in wrong.err


def test_a_plugin_whose_event_hook_fails_stops_nothing(harness, tiny_suite, plugin_file, no_report):
    file = plugin_file(
        "tracker",
        "from harness import hookimpl\n@hookimpl\ndef harness_cell_started(cell): return 1 / 0\n",
    )
    ended = harness("suite", tiny_suite, "--plugin", file)
    assert ended.status == 0
    (line,) = (line for line in ended.err.splitlines() if line.startswith("harness: plugin"))
    assert line == (
        f"harness: plugin {file}: harness_cell_started failed and is not called any more: "
        "ZeroDivisionError: division by zero"
    )


def test_a_report_section_that_fails_is_named(harness, results, tiny_suite, plugin_file):
    file = plugin_file(
        "sections",
        "from harness import hookimpl\n@hookimpl\ndef harness_report_sections(frame): 1 / 0\n",
    )
    ended = harness("suite", tiny_suite, "--plugin", file)
    assert ended.status == 0
    assert f"harness: plugin {file}: harness_report_sections failed" in ended.err


# ── wrong usage ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "label=maml"], "--only label=maml: no cell has the label 'maml' (known: full"),
        (["--only", "maml"], "--only maml: not KEY=VALUE with a key among cell, suite, label"),
        (["--set", "trials"], "--set trials: not of the form KEY=VALUE. Write KEY=VALUE"),
        (["--set", "budget.trails=3"], "budget.trails: unknown key (did you mean 'trials'?)"),
        (["--retry", "fialed"], "--retry fialed: no such status: 'fialed' (did you mean 'fail"),
        (["--retry", "ok"], "--retry ok: no such status: 'ok'"),
        (
            ["--retry", "oom, fialed,crashd"],
            "--retry oom, fialed,crashd: no such status: 'crashd' (did you mean 'crashed'?), "
            "'fialed' (did you mean 'failed'?). Use failed, timeout",
        ),
        (["--device", "gpu"], "--device gpu: 'gpu' is no kind of device. Use auto, cpu, cuda"),
        (["--device", "cuda:99"], "--device cuda:99: 'cuda:99' is not there: this machine has "),
        (["--device", "meta"], "--device meta: 'meta' is not supported. Use auto, cpu, cuda"),
        (["--executor", "locale"], "unknown executor 'locale' (did you mean 'local'?)"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_wrong_usage_is_refused_before_anything_is_written(
    harness, results, tiny_suite, unchanged, words, said, dry
):
    ended = harness("suite", tiny_suite, *words, *dry)
    assert (ended.status, ended.out) == (2, "")
    assert ended.complaint.startswith("harness: ")
    assert said in ended.complaint


def test_a_results_folder_that_is_a_file_is_refused(harness, tiny_suite, tmp_path):
    (tmp_path / "file").touch()
    ended = harness("suite", tiny_suite, "--results", "file")
    assert ended.status == 2
    assert "file/tiny" in ended.complaint


# ── within a time ─────────────────────────────────────────────────────────────────────────────


def test_what_does_not_fit_is_left_and_the_next_run_does_it(harness, tiny_suite, no_report):
    ended = harness("suite", tiny_suite, "--purse", "1s")
    assert ended.status == 1  # not all is done
    assert "harness: 4 of 4 cells were left undone: the same command goes on\n" in ended.err
    ended = harness("suite", tiny_suite, "--purse", "1h")
    assert ended.status == 0
    assert "4 to do" in ended.err
    assert "left undone" not in ended.err


@pytest.mark.parametrize("given", ["2", "h", "-1h", "0s", "2 weeks"])
def test_a_time_has_a_unit(harness, tiny_suite, given):
    ended = harness("suite", tiny_suite, f"--purse={given}")
    assert ended.status == 2
    assert "give a number with s, m, h or d" in ended.err


# ── a run that only fails ─────────────────────────────────────────────────────────────────────


def test_a_run_whose_cells_all_fail_stops(harness, edited, plugin_file, no_report):
    file = plugin_file(
        "hopeless",
        """
        from dataclasses import dataclass
        from typing import ClassVar
        from harness.api import GradientStrategy, hookimpl

        @dataclass(frozen=True)
        class Hopeless(GradientStrategy):
            name: ClassVar[str] = "hopeless"

            def recipe(self, backbone, task, hp, run):
                raise OSError("no space left on device")

        @hookimpl
        def harness_strategies():
            return [Hopeless]
        """,
    )
    suite = edited('"full_finetune"', '"hopeless"', "seeds = [0, 1]", "seeds = [0, 1, 2, 3, 4]")
    line = ("suite", suite, "--plugin", file, "--only", "label=hopeless", "--inline")
    ended = harness(*line, "--set", "limits.failures=2")
    assert ended.status == 1
    (told,) = (each for each in ended.err.splitlines() if each.startswith("harness: stopped"))
    assert told.startswith(
        "harness: stopped, as the last 2 cells all came to a bad end (2 failed), such as hopeless"
    )
    assert "no space left on device" in told
    assert "--retry failed goes on" in told
    rest = harness(*line, "--set", "limits.failures=0")
    assert "stopped" not in rest.err
    assert "2 done before, 3 to do" in rest.err


def test_without_locks_cells_are_divided_by_shards(
    harness, tmp_path, tiny_suite, no_locks, monkeypatch
):
    monkeypatch.setattr(write, "write_report", lambda report, *rest: report.directory)
    no_locks(tmp_path / "results")
    ended = harness("suite", tiny_suite, "--inline")
    assert ended.status == 2
    assert "results/tiny has no locks (No locks available)" in ended.complaint
    assert "--shard 1/n to n/n" in ended.complaint
    done = []
    for part in ("2/2", "1/2"):
        ended = harness("suite", tiny_suite, "--inline", "--shard", part)
        assert ended.status == 0, ended.err
        done.append(len(Store(tmp_path / "results/tiny").records()))
    assert done == [2, 4]
    assert [record.status for record in Store(tmp_path / "results/tiny").records()] == ["ok"] * 4
    assert not (tmp_path / "results/.cache").exists()


@pytest.mark.parametrize("part", ["0/2", "3/2", "x", "1/0"])
def test_a_shard_that_is_none_is_refused(harness, tmp_path, tiny_suite, part):
    ended = harness("suite", tiny_suite, "--shard", part)
    assert ended.status == 2
    assert f"--shard {part}: no such part. Write i/n" in ended.complaint
    assert not (tmp_path / "results").exists()
