"""How Sphinx builds these pages: ``sphinx-build -W --keep-going -b html docs OUT``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from harness import __version__

project = "harness"
author = "the authors of harness"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "keys", "commands"]
exclude_patterns = ["_ext"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
smartquotes = False  # "--" of an option is two hyphens
html_theme = "furo"
html_title = f"harness {__version__}"
html_show_copyright = html_show_sphinx = False
