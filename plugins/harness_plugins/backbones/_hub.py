"""The Hugging Face hub: whether it can be asked, told within seconds and once a process."""

from __future__ import annotations

from functools import cache

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError

from harness.api import HarnessError, one_line

PATIENCE = 5.0
"""Seconds that the hub is given to answer."""


def is_kept(repository: str, files: tuple[str, ...], revision: str | None = None) -> bool:
    """Whether this machine has a copy of one of some files, so that the hub need not be asked."""
    copies = (try_to_load_from_cache(repository, file, revision=revision) for file in files)
    return any(isinstance(copy, str) for copy in copies)


@cache
def obstacle(repository: str, files: tuple[str, ...], revision: str | None = None) -> str:
    """What keeps some files from being had, in a line; empty if nothing does. Asked once.

    The hub's own client tries again for most of a minute before it says so.
    """
    if is_kept(repository, files, revision):
        return ""
    try:
        url = hf_hub_url(repository, files[0], revision=revision)
        get_hf_file_metadata(url, timeout=PATIENCE)
    except EntryNotFoundError:  # the hub was reached
        return ""
    except Exception as error:  # those of its HTTP client have no base in common
        return one_line(error)
    return ""


def unfetched(what: str, why: str, instead: str) -> HarnessError:
    """A failure that another run may not have; ``instead`` says how to do without the hub."""
    return HarnessError(
        f"{what} cannot be fetched or read: {why}",
        f"Check the network, the proxy and the disk, or {instead}",
    )
