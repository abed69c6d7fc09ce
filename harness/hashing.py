"""Hashes of what things are, and the seeds that are made of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SHORT = 16
"""Hex digits of a short hash: of 10,000, two agree by chance once in 10¹¹."""


def sha256(content: str | bytes) -> str:
    """SHA-256 of bytes, or of a text in UTF-8, in hex digits."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def short(content: str | bytes) -> str:
    """The beginning of :func:`sha256`, for names and keys."""
    return sha256(content)[:SHORT]


def canonical(content: Mapping[str, Any]) -> str:
    """JSON that is the same whatever the order of the entries."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)


def seed_of(*parts: object, size: int = 7) -> int:
    """A seed of ``size`` bytes for one purpose, independent of those for others."""
    text = ":".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size])
