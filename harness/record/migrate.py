"""Files of earlier versions of the format, brought to this version as they are read.

What is on the disk stays as it is. Who changes the format raises ``SCHEMA_VERSION`` by one, adds
a step from the version before to ``RECORD`` and to ``PLAN``, and to the tests a file of that
version. Every version keeps ``schema_version`` where it is, so that older ones know a newer file
when they see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from harness.record.schema import SCHEMA_VERSION

Content: TypeAlias = dict[str, Any]
"""A file's JSON, without its checksum, which was of what is stored."""

Step: TypeAlias = Callable[[Content], Content]


def migrated(content: Content, steps: Mapping[int, Step]) -> Content:
    """The content as this version would have written it, one step a version."""
    for version in range(content["schema_version"], SCHEMA_VERSION):
        content = {**steps[version](content), "schema_version": version + 1}
    return content


def _tried_once(record: Content) -> Content:
    """Version 2 says how often a cell was tried, and where its log is."""
    return {"attempts": 1, "log": None, **record}


def _unchanged(content: Content) -> Content:
    return content


BASELINES = ("from_scratch", "source_only")
"""The strategies that gains were over when the report knew them by name."""


def _baseline(cell: Any) -> Any:
    """Version 4 says which strategies are baselines. Whoever reads refuses what is no cell."""
    if not isinstance(cell, dict):
        return cell
    return {**cell, "baseline": cell.get("strategy") in BASELINES}


def _baseline_without_weights(record: Content) -> Content:
    """What uses no weights is no longer told what they cost."""
    record = _baseline(record)
    if record.get("strategy") != BASELINES[0]:
        return record
    if isinstance(cached := record.get("cached"), list):
        record["cached"] = [phase for phase in cached if phase != "pretrain"]
    if isinstance(seconds := record.get("seconds"), dict) and "pretrain" in seconds:
        record["seconds"] = {**seconds, "pretrain": 0.0}
    return record


def _baselines(plan: Content) -> Content:
    if not isinstance(cells := plan.get("cells"), list):
        return plan
    return {**plan, "cells": [_baseline(cell) for cell in cells]}


RECORD: dict[int, Step] = {
    1: _tried_once,
    2: _unchanged,  # version 3 may say the CPU time
    3: _baseline_without_weights,
    4: _unchanged,  # version 5 may say what a strategy starts from
    5: _unchanged,  # version 6 may tell of further tests
    6: _unchanged,
    7: _unchanged,
}
PLAN: dict[int, Step] = {
    1: _unchanged,
    2: _unchanged,
    3: _baselines,
    4: _unchanged,
    5: _unchanged,
    6: _unchanged,  # version 7 may tell the command
    7: _unchanged,  # version 8 may tell what strategies do
}


SAME_NUMBERS: Sequence[Mapping[str, str]] = (
    {
        "9672e408a6d22963": "533e518c8476a98d",  # dataset corrupted
        "6c1d8d755b5eff6f": "c2552f2549a8d9e6",  # strategy adda
        "c1b3524a0efdffd3": "cf19e41a1cb5fa86",  # strategy anil
        "5be78f8dfdee9687": "b30f3e1e5b822247",  # strategy coral
        "91f1ea9987e9cfde": "09469f217c265a73",  # strategy fomaml
        "ecc0051c776621bb": "9861205401f9b75e",  # strategy maml
        "a2586009335f4565": "45a547511a1564a7",  # strategy model_soup
        "841778d3511a2033": "c7789d6cc30ba452",  # strategy proto_maml
        "d8eef3bd98325f5a": "1deff5d1729d670f",  # strategy protonet
        "e5d2e8399a61f19e": "0dca1b003db44a56",  # strategy reptile
        "56ba32397249b4d3": "a223db504bc4c180",  # strategy shot
        "093b240f1f670135": "0f3835c6a30d52ad",  # trick bss
        "ad256d1f2ecc897c": "9d7e203707980905",  # trick class_weights
        "c05fc68ef47d9f1c": "2e518a6e6c64fff9",  # trick cutmix
        "c3182cc64c990071": "cd4c8e4bb94ef814",  # trick focal
        "b8e53bc35b680bd2": "36c0e444d0a65832",  # trick mixup
        "12db24fe8ed0f607": "08f838f72add17fb",  # trick sgd
        "27aec3604dc5e34a": "d8061cb02b5a9f78",  # trick stochastic_depth
    },
    {
        "dedbb53adbd0d999": "2b8ff7af60165327",  # strategy adapter
        "c7789d6cc30ba452": "dcabefd96c1bad19",  # strategy proto_maml
        "4d560c380fcc5984": "f74ec05ec5ae8fa7",  # strategy tent
    },
    {
        "2b8ff7af60165327": "7d5f263eed33c0c1",  # strategy adapter
        "c2552f2549a8d9e6": "cb6bcd4c59b7673d",  # strategy adda
        "b30f3e1e5b822247": "5c62cef2a936f8b3",  # strategy coral
        "7ead90f1d2db0ce0": "8be3294a8807060a",  # strategy full_finetune
        "f4e90b6842cc27bb": "5c464bcd4dd22168",  # strategy mcc
        "699a7349758cb2cd": "2904b9089e9152e0",  # strategy mmd
        "45a547511a1564a7": "ed7facbea4a30caa",  # strategy model_soup
        "001f837b4854e58f": "1decb2a7e8480421",  # strategy partial_freeze
        "a44e1b64001e55cb": "3ea2b31c026d73b5",  # strategy source_only
        "d487eced5b1ed7f2": "349c7d4ffb7bf2b1",  # strategy target_supervised
        "da6df7a8b4bcfa3e": "c8fcb759c4744d72",  # strategy trial_ensemble
    },
    {
        "6344afb3e8b3a40d": "19bde3970a418a34",  # backbone bert
        "3a2608ec0d46f86f": "d49c9442f5d7fff4",  # backbone efficientnet_lite0
        "0e804c63812fb4d9": "f92fa4b8c047e725",  # backbone minilm
        "f7fd39f8d9fee6f4": "3388cc4521dcbd17",  # backbone timm
        "c5584778b222a938": "a66460b9fb5d4637",  # strategy knn_probe
        "c8fcb759c4744d72": "312136b870057924",  # strategy trial_ensemble
    },
    {
        "19bde3970a418a34": "d6e53500b4d49057",  # backbone bert
        "3388cc4521dcbd17": "1a0530b79fa4b0c3",  # backbone timm
        "f3d44a6582c3253a": "a424a8aade796c62",  # pretraining mlm
        "5d576bb6691a083c": "b781cd2a84d88ee6",  # pretraining simclr
        "9c881438fe7a65bc": "8b885805c401c348",  # pretraining supervised
        "5c62cef2a936f8b3": "eb9a2ff68cd35c02",  # strategy coral
        "8be3294a8807060a": "e836ffdcfefb0c0b",  # strategy full_finetune
        "1decb2a7e8480421": "2e9ce8011c609f5b",  # strategy partial_freeze
        "1deff5d1729d670f": "4d8a9b8f25fbd359",  # strategy protonet
        "3ea2b31c026d73b5": "f123eb2e51186285",  # strategy source_only
        "349c7d4ffb7bf2b1": "2412e050e3c2b96c",  # strategy target_supervised
    },
)
"""Digests of the sources of built-in plugins, each with that of its source before, which came to
the same numbers, shown by running both: cells that it finished stay finished. Defaults may differ,
as a cell's meaning has its own. The last change comes first. Who changes such a plugin and no
number of it enters it in a change of its own; who changes a number takes its lines out."""


def earlier(meaning: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What a cell of this meaning meant when built-in plugins had earlier sources, the last of them
    first."""
    for change in SAME_NUMBERS:
        before: Mapping[str, Any] = _earlier(meaning, change)
        if before != meaning:
            yield before
        meaning = before


def _earlier(value: Any, change: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _earlier(inner, change) for name, inner in value.items()}
    return change.get(value, value) if isinstance(value, str) else value
