"""The version of the harness, for all that must not import the package's face."""

__version__ = "0.1.0"
