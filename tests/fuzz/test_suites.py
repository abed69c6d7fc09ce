"""Ten thousand damaged suites: each is read as a suite or refused in words, and never crashes."""

import random
import re
import string
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.plan.cells import plan
from harness.plan.datasets import Datasets
from harness.suite.read import parse, read

REAL = sorted((Path(__file__).parents[2] / "suites").glob("*.toml"))
"""The suites that come with the harness: what is generated has their grammar."""

SMALL = """
name = "small"
seeds = [0, 1]
strategies = ["linear_probe", { name = "full_finetune", label = "FT", args = { lr = 1e-3 } }]

[budget]
trials = 2
steps = 3
batch_size = 16

[[backbones]]
model = "conv4"
weights = "random"
input_size = 16
args = { width = 8 }

[[problems]]
dataset = "digits"
protocol = "transfer"
shots = [2, "all"]
val_fraction = 0.2
test_fraction = 0.25

[[problems]]
dataset = "digits"
label = "few"
args = {}
shots = 1
val_shots = 2
"""
"""A suite that can be planned without any files."""

ODD = [
    *("nan", "inf", "-inf", "-1", "0", "-0.0", "1e999", "1e-320", "0.5", "true", "07:32:00"),
    *("1979-05-27", "1979-05-27T07:32:00Z", "9" * 5000, "0x" + "f" * 5000, "9223372036854775808"),
    *("1000000000", "4294967296", "18446744073709551616", "[]", "[[]]", "{}", "{ a = {} }"),
    *('""', r'"\u0000"', r'"\n"', '"é😀\u202e"', '"all"', '"vtab1k"', '"hub"', '"random"'),
    *('"/dev/zero"', '"../../etc/passwd"', "'a\tb'", '"""\nlines\n"""', "[1, 1]", '[5, "all", 5]'),
    *(
        '[0, "a", true, nan, {}]',
        '{ name = "maml" }',
        '{ source = "glyphs" }',
        "[" * 400 + "]" * 400,
    ),
    *('"' + "x" * 5000 + '"', "{ " + "a." * 900 + "b = 1 }", '{ file = "" }', '"transfer"'),
    *('"episodes"', '"adaptation"', "[2, 5]", '[{ name = "a" }, "a"]', str(list(range(300)))),
]
TOKENS = re.compile(r'"[^"\n]*"|[A-Za-z_0-9.+-]+|\s+|.')
LINES = ["[budget]", "[[problems]]", "[[backbones]]", "[[strategies]]", "[backbones.weights]"]
KEYS = sorted({key for path in REAL for key in re.findall(r"(\w+) *=", path.read_text())})


def without_comments(text):
    return re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)


TEXTS = [SMALL, *(without_comments(path.read_text()) for path in REAL)]


def flip(text, draw):
    """One bit."""
    content = bytearray(text.encode("utf-8", "surrogateescape"))
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return content.decode("utf-8", "surrogateescape")


def cut(text, draw):
    start = draw.randrange(len(text))
    return text[:start] + text[start + draw.randrange(1, 40) :]


def repeat(text, draw):
    """Lines, or whole tables, that stand there twice."""
    lines = text.splitlines(keepends=True)
    start = draw.randrange(len(lines))
    part = lines[start : start + draw.randrange(1, 8)]
    place = draw.randrange(len(lines))
    return "".join([*lines[:place], *part, *lines[place:]])


def swap(text, draw):
    tokens = TOKENS.findall(text)
    solid = [place for place, token in enumerate(tokens) if not token.isspace()]
    one, other = draw.choice(solid), draw.choice(solid)
    tokens[one], tokens[other] = tokens[other], tokens[one]
    return "".join(tokens)


def revalue(text, draw):
    """A value of another type or size."""
    values = [*re.finditer(r"(?<== )[^\n{}]+", text)]
    found = draw.choice(values) if values else re.match("", text)
    return text[: found.start()] + draw.choice(ODD) + text[found.end() :]


def rekey(text, draw):
    keys = [*re.finditer(r"\b\w+(?= *=)", text)]
    found = draw.choice(keys) if keys else re.match("", text)
    other = draw.choice([*KEYS, found[0] + "s", found[0][1:] or "k", draw.choice(string.printable)])
    return text[: found.start()] + other + text[found.end() :]


def insert(text, draw):
    lines = text.splitlines(keepends=True)
    line = draw.choice([*LINES, f"{draw.choice(KEYS)} = {draw.choice(ODD)}"]) + "\n"
    lines.insert(draw.randrange(len(lines) + 1), line)
    return "".join(lines)


def splice(text, draw):
    """The beginning of one suite and the end of another."""
    other = draw.choice(TEXTS)
    return text[: draw.randrange(len(text))] + other[draw.randrange(len(other)) :]


HARMS = [flip, cut, repeat, swap, revalue, revalue, rekey, insert, splice]


def damaged(draw, texts=TEXTS, harms=HARMS):
    """The bytes of a suite after one, two or three harms."""
    text = draw.choice(texts)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        text = draw.choice(harms)(text or "#", draw)
    return text.encode("utf-8", "surrogateescape")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "suite.toml"


@pytest.mark.parametrize("seed", range(20))
def test_any_suite_is_read_or_refused(file, registry, watched, seed):
    draw = random.Random(seed)
    accepted = 0
    for _ in range(500):
        content = damaged(draw)
        file.write_bytes(content)
        with watched(content):
            suite = read(file, registry=registry)
            again = parse(suite.model_dump(mode="json", exclude_none=True), "stored")
            assert again == suite, "it comes back changed"
            accepted += 1
    assert 25 < accepted < 400  # or the harms are too harsh, or too mild, to tell anything


@pytest.mark.parametrize("seed", range(2))
def test_any_change_on_the_command_line_is_taken_or_refused(file, watched, seed):
    draw = random.Random(f"--set {seed}")
    file.write_text(SMALL)
    places = [
        "seeds",
        "seeds.0",
        "seeds.7",
        "seeds.-1",
        "seeds.x",
        "budget",
        "budget.trials",
        "a.b",
    ]
    places += ["problems.0.shots", "problems.0.shots.1", "strategies.0.args.lr", "", ".", "budget."]
    places += [f"strategies.1.{key}" for key in KEYS] + ["problems.9999999999999999999.args", "²"]
    for _ in range(500):
        overrides = [
            f"{draw.choice(places)}{draw.choice(['=', '=', '=', '', '=='])}{draw.choice(ODD)}"
            for _ in range(draw.randrange(1, 3))
        ]
        with watched(overrides):
            read(file, overrides)


class InMemory(Datasets):
    """Digits are real data and in memory; nothing else is there."""

    def load(self, name, args):
        self._registry.get("dataset", name)
        if name != "digits":
            raise HarnessError(f"dataset '{name}' is not here", "Use digits")
        return super().load(name, args)


@pytest.fixture(scope="module")
def digits(registry):
    return InMemory(registry)


MILD = [revalue, revalue, rekey, insert, swap]


@pytest.mark.parametrize("seed", range(3))
def test_any_suite_that_is_read_is_planned_or_refused(file, registry, digits, watched, seed):
    draw = random.Random(f"plan {seed}")
    read_so_far = planned = 0
    while read_so_far < 150:
        content = damaged(draw, [SMALL], MILD)
        file.write_bytes(content)
        try:
            suite = read(file)
        except HarnessError:
            continue
        read_so_far += 1
        shots = sum(len(problem.shots) for problem in suite.problems)
        if shots * len(suite.every_seed) * len(suite.strategies) * len(suite.backbones) > 100:
            continue  # nothing but more of the same
        with watched(content):
            cells = plan(suite, registry, digits, "here").cells
            assert len({cell.cell for cell in cells}) == len(cells)
            planned += 1
    assert planned > 30  # of 150: enough that what is planned was tried too
