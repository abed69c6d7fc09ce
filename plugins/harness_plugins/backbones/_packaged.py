"""Weights that a package of the index brings: found without running anything of the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from harness.api import Unsupported


@dataclass(frozen=True)
class Packaged:
    """A file of weights in a package that may be installed.

    The package is never imported: such packages print, and import what the harness does not need.
    """

    module: str
    file: str
    """Its path within the module."""
    package: str
    """What pip calls the package."""
    version: str
    """The one whose file is known."""
    extra: str

    @property
    def requires(self) -> Mapping[str, str]:
        return {self.module: self.extra}

    def files(self) -> list[Path]:
        """The file, or nothing."""
        spec = find_spec(self.module)
        folders = (spec and spec.submodule_search_locations) or ()
        paths = (Path(folder) / self.file for folder in folders)
        return [path for path in paths if path.is_file()]

    def path(self) -> Path:
        """Where the file is.

        Raises:
            Unsupported: the package is not installed, or is another version.
        """
        if not self.files():
            raise self.refusal(f"there is no {self.file} in it")
        return self.files()[0]

    def refusal(self, why: str) -> Unsupported:
        """What to tell of a package that is not the one whose file is known."""
        try:
            found = version(self.package)
        except PackageNotFoundError:
            return Unsupported(f"{self.package} is not installed: pip install '{self.extra}'")
        return Unsupported(
            f"{self.package} {found} is not as version {self.version} is: {why}; "
            f"pip install --force-reinstall --no-deps '{self.package}=={self.version}'"
        )
