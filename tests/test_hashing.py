"""Hashes and seeds are what they always were: keys, draws and splits hang on them."""

from harness.hashing import canonical, seed_of, sha256, short


def test_the_order_of_entries_makes_no_difference():
    one, other = canonical({"b": 1, "a": [None, "é"]}), canonical({"a": [None, "é"], "b": 1})
    assert one == other
    assert short(one) == "b73e2138dd7c689a"


def test_text_and_its_bytes_are_the_same():
    known = "58cb8a469294078eeafef7f1c22eb93d48a3fe96f63021dee6f65daf4b817635"
    text = canonical({"b": 1.5, "a": "é"})
    assert sha256(text) == sha256(text.encode()) == known


def test_a_seed_is_of_its_purpose():
    assert seed_of(3, "adapt") == 25931054970325621
    assert seed_of("split", 3, 7) == 64695603208431245
    assert seed_of("3|1|lr", size=4) == 219954240
