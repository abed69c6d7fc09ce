"""Texts and labels in CSV files."""

import csv
from pathlib import Path

import pytest
from harness_plugins.datasets.csv_text import CsvText, harness_datasets
from hypothesis import given
from hypothesis import strategies as st

from harness.api import HarnessError, Mistakes, TextInputs
from harness.testing import DatasetChecks

GOOD = "text,label\nIt rained.,sad\nThe sun came out!,glad\n"


def written(folder: Path, content: str | bytes, name: str = "train.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(split) -> list[tuple[str, int]]:
    return list(
        zip(split.inputs.read(range(len(split.inputs))), split.labels.tolist(), strict=True)
    )


def test_the_plugin_brings_csv_text():
    assert harness_datasets() == [CsvText]


class TestCsvText(DatasetChecks):
    def given(self, tmp_path):
        return CsvText(written(tmp_path, GOOD))


def test_a_header_texts_and_labels_are_enough(tmp_path):
    data = CsvText(written(tmp_path, GOOD)).load()
    assert data.classes == ("glad", "sad")
    assert rows(data.train) == [("It rained.", 1), ("The sun came out!", 0)]
    assert data.test is None


def test_a_second_file_is_the_official_test_split(tmp_path):
    test = written(tmp_path, "label,text\nglad,Snow\n", "test.csv")
    data = CsvText(written(tmp_path, GOOD), test).load()
    assert rows(data.test) == [("Snow", 0)]


def test_columns_may_have_other_names_and_company(tmp_path):
    content = "id,tweet,mood,by\n1,oh no,sad,ann\n2,oh yes,glad,bob\n"
    data = CsvText(written(tmp_path, content), text="tweet", label="mood").load()
    assert rows(data.train) == [("oh no", 1), ("oh yes", 0)]


def test_quoted_fields_hold_commas_quotes_and_line_breaks(tmp_path):
    content = 'text,label\r\n"He said ""no, no""\r\nand left",a\r\n\r\nplain,b\r\n'
    data = CsvText(written(tmp_path, content)).load()
    assert rows(data.train) == [('He said "no, no"\r\nand left', 0), ("plain", 1)]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    data = CsvText(written(tmp_path, b"\xef\xbb\xbf" + GOOD.encode())).load()
    assert len(data.train.inputs) == 2


def test_a_text_may_be_as_long_as_a_book(tmp_path):
    book = "word " * 100_000
    data = CsvText(written(tmp_path, GOOD + f"{book},sad\n")).load()
    assert data.train.inputs.read([2]) == [book]
    assert csv.field_size_limit() < len(book), "the csv module's own limit is as it was"


@given(
    texts=st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=5),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ending=st.sampled_from(["\r\n", "\n"]),
)
def test_what_the_csv_module_writes_is_read_as_it_was(tmp_path_factory, texts, quoting, ending):
    if ending == "\n" and any("\r" in text for text in texts):
        quoting = csv.QUOTE_ALL  # Python before 3.13 leaves a lone \r unquoted there
    path = tmp_path_factory.mktemp("csv") / "train.csv"
    labels = ["even" if place % 2 == 0 else "odd" for place in range(len(texts))]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=quoting, lineterminator=ending)
        writer.writerows([("text", "label"), *zip(texts, labels, strict=True)])
    data = CsvText(path).load()
    assert data.train.inputs == TextInputs(tuple(texts))
    assert [data.classes[label] for label in data.train.labels.tolist()] == labels


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_first_row_tells_what_separates_fields(tmp_path, separator):
    rows_in = [("id", "text", "label"), ("1", "Sun, at last; really", "glad"), ("2", "Rain", "sad")]
    path = tmp_path / "train.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows_in)
    assert rows(CsvText(path).load().train) == [("Sun, at last; really", 0), ("Rain", 1)]


@given(
    texts=st.lists(st.text().filter(str.strip), min_size=2, max_size=4),
    separator=st.sampled_from([",", ";", "\t"]),
    further=st.lists(st.sampled_from(["a;b", "c,d", "e\tf", "id"]), max_size=2, unique=True),
)
def test_any_separator_is_found_whatever_other_columns_and_texts_hold(
    tmp_path_factory, texts, separator, further
):
    path = tmp_path_factory.mktemp("csv") / "train.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL)
        writer.writerow([*further, "text", "label"])
        for place, text in enumerate(texts):
            writer.writerow([*further, text, "even" if place % 2 == 0 else "odd"])
    assert CsvText(path).load().train.inputs == TextInputs(tuple(texts))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            "a;label\nc;d\n",
            "no column 'text'; there are: a, label (split at semicolons). Name it in args: text",
        ),
        ("a\tlabel\tc\n", "no column 'text'; there are: a, label, c (split at tabs)"),
        ("text;label\nx;y;z\n", "line 2: not 2 fields; quote what holds a semicolon"),
    ],
)
def test_messages_name_the_separator(tmp_path, content, line):
    path = written(tmp_path, content)
    with pytest.raises(HarnessError) as caught:
        CsvText(path).load()
    assert str(caught.value).startswith(f"{path}: {line}")


def test_labels_that_are_numbers_are_in_the_order_of_numbers(tmp_path):
    content = "text,label\n" + "".join(f"word,{label}\n" for label in (10, 2, 1))
    assert CsvText(written(tmp_path, content)).load().classes == ("1", "2", "10")


def test_nearly_equal_labels_are_refused_or_merged_across_both_files(tmp_path):
    train = written(tmp_path, "text,label\na,pos\nb,pos \nc,neg\n")
    test = written(tmp_path, "text,label\nd, pos\n", "test.csv")
    with pytest.raises(HarnessError, match=r"' pos', 'pos', 'pos '.*merge_classes = true"):
        CsvText(train, test).load()
    data = CsvText(train, test, merge_classes=True).load()
    assert data.classes == ("neg", "pos")
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([1, 1, 0], [1])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("tweet,label\na,b\n", "no column 'text'; there are: tweet, label"),
        ("text,mood\na,b\n", "no column 'label'; there are: text, mood"),
        ("text,text,label\na,b,c\n", "more than one column 'text'; rename the others"),
        ("text,label\n", "labels are none. Give at least two classes"),
        (GOOD + "  ,sad\n", "line 4: an empty text; give one or leave the row out"),
        (GOOD + "Fog,\n", "line 4: an empty label; give one or leave the row out"),
        (GOOD + "Wind, and rain,sad\n", "line 4: not 2 fields; quote what holds a comma"),
        (GOOD + "Hail\n" * 7, "line 4, 5, 6, 7, 8 and 2 more: not 2 fields"),
        ('text,label\n"a\nb",c\n,d\n', "line 4: an empty text"),
        ("text,label\na,b\nc,b\n", "labels are of one class only: b"),
        (GOOD + 'He said, "no",sad\n"Open', "line 5: unexpected end of data. Write quotes"),
        (GOOD.encode() + "Café,glad\n".encode("latin-1"), "line 4: byte 0xe9 is not UTF-8"),
        (b"\xef\xbb\xbf\n\xff", "line 2: byte 0xff is not UTF-8. Save the file as UTF-8"),
    ],
)
def test_a_mistake_is_one_clear_line(tmp_path, content, line):
    path = written(tmp_path, content)
    with pytest.raises(HarnessError) as caught:
        CsvText(path).load()
    assert str(caught.value).startswith(f"{path}: {line}")
    assert "\n" not in str(caught.value)


def test_all_rows_that_are_wrong_come_at_once(tmp_path):
    with pytest.raises(HarnessError) as caught:
        CsvText(written(tmp_path, GOOD + ",sad\nFog,\n")).load()
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == [
        "line 4",
        "line 5",
    ]


def test_a_test_label_that_train_lacks_is_named(tmp_path):
    test = written(tmp_path, "text,label\nSnow,gald\n", "test.csv")
    with pytest.raises(HarnessError, match=r"test\.csv has labels that .*train\.csv lacks: gald"):
        CsvText(written(tmp_path, GOOD), test).load()


@pytest.mark.parametrize("path", ["nowhere.csv", "."])
def test_a_missing_file_is_named(tmp_path, path):
    with pytest.raises(HarnessError, match=f"{tmp_path}.*Give the path of a CSV file"):
        CsvText(tmp_path / path).load()


def test_what_is_wrong_with_both_columns_and_both_files_is_told(tmp_path):
    train = written(tmp_path, "tweet,mood\na,b\n")
    with pytest.raises(Mistakes) as caught:
        CsvText(train).load()
    there = "there are: tweet, mood (split at commas)"
    assert caught.value.lines == [
        f"no column 'text'; {there}. Name it in args: text = …",
        f"no column 'label'; {there}. Name it in args: label = …",
    ]
    with pytest.raises(Mistakes, match=r"(?s)2 mistakes.*there are: none"):
        CsvText(written(tmp_path, "", "empty.csv")).load()
    test = written(tmp_path, GOOD + ",sad\n", "test.csv")
    with pytest.raises(Mistakes) as caught:
        CsvText(train, test).load()
    assert [line.partition(";")[0] for line in caught.value.lines] == [
        f"{train}: no column 'text'",
        f"{train}: no column 'label'",
        f"{test}: line 4: an empty text",
    ]


@pytest.mark.parametrize("where", ["train", "test"])
def test_a_missing_file_is_told_with_the_place_that_was_looked_at(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    files = {"train": written(tmp_path, GOOD), where: "data/nowhere.csv"}
    with pytest.raises(HarnessError) as caught:
        CsvText(**files).load()
    assert caught.value.message == (
        f"there is no file {tmp_path}/data/nowhere.csv (a relative path is taken from the current "
        "folder)"
    )
