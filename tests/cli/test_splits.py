"""``harness splits``: what was drawn is published, and a run with it is the same run."""

import json

import pytest


def records(folder):
    """Every record by what its cell is called."""
    found = [json.loads(path.read_text()) for path in (folder / "tiny/records").iterdir()]
    return {(record["label"], record["seed"]): record for record in found}


@pytest.mark.usefixtures("no_report")
def test_a_suite_run_with_its_own_splits_comes_to_the_same(harness, tiny_suite, tmp_path):
    ended = harness("splits", tiny_suite)
    assert (ended.status, ended.out, ended.err) == (0, "splits/digits.json\n", "")
    table = json.loads((tmp_path / "splits/digits.json").read_text())
    assert [(entry["shots"], entry["seed"]) for entry in table["splits"]] == [(2, 0), (2, 1)]
    assert harness("suite", tiny_suite).status == 0
    published = "problems.0.splits=splits/digits.json"
    assert harness("suite", tiny_suite, "--set", published, "--results", "again").status == 0
    drawn, read = records(tmp_path / "results"), records(tmp_path / "again")
    assert drawn.keys() == read.keys()
    for place, record in drawn.items():
        for same in ("split_hash", "metrics", "selected", "leaks"):
            assert record[same] == read[place][same]
        assert read[place]["meaning"]["split"] == record["split_hash"]
        split = tmp_path / f"results/tiny/splits/{record['split_hash']}.json"
        kept = json.loads(split.read_text())
        (entry,) = [entry for entry in table["splits"] if entry["hash"] == record["split_hash"]]
        assert all(kept[part] == entry[part] for part in ("train", "val", "test"))
        assert kept["classes"] == table["classes"]


def test_a_file_has_the_name_of_its_problem(harness, edited, tmp_path):
    text = 'dataset = "digits"\nlabel = "My digits / few"\nshots = 1\n\n[[problems]]\n'
    again = 'dataset = "digits"\nlabel = "My digits / few"\nshots = 2'
    path = edited('dataset = "digits"\nshots = 2', text + again)
    ended = harness("splits", path, "--output", "out")
    assert ended.out.splitlines() == ["out/My-digits-few.json", "out/My-digits-few-1.json"]
    assert all((tmp_path / line).is_file() for line in ended.out.splitlines())


def test_episodes_have_no_file(harness, edited):
    episodes = 'dataset = "glyphs"\nprotocol = "episodes"\nshots = 1\nargs = { per_class = 20 }'
    ended = harness("splits", edited('dataset = "digits"\nshots = 2', episodes))
    assert ended.status == 2
    assert "there is no problem with a split. Episodes are drawn from the seed" in ended.complaint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "splits.json: it is not JSON: EOF while parsing an object at line 1 column 1"),
        (
            None,
            "/splits.json (a relative path is taken from the current folder): No such file or "
            "directory. Check the path",
        ),
    ],
)
def test_a_damaged_file_is_one_line(harness, tiny_suite, tmp_path, content, said):
    if content is not None:
        (tmp_path / "splits.json").write_text(content)
    for command in ("validate", "suite", "splits"):
        ended = harness(command, tiny_suite, "--set", "problems.0.splits=splits.json")
        assert ended.status == 2
        assert said in ended.complaint
    assert not (tmp_path / "results").exists()
