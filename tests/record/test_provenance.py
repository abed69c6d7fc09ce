"""Where a record comes from."""

import json
import subprocess

import pytest

from harness import __version__
from harness.record import provenance


@pytest.fixture
def environment():
    provenance.environment.cache_clear()
    yield provenance.environment
    provenance.environment.cache_clear()


def test_versions_and_machine_are_told(environment):
    facts = environment()
    assert facts["harness"] == __version__
    for fact in ("python", "torch", "timm", "optuna", "numpy", "platform", "host", "cpu"):
        assert facts[fact], fact
    assert facts["cores"] >= 1
    json.dumps(facts)


def test_the_checkout_is_told_where_there_is_one(environment, monkeypatch):
    said = {"ls-files": "harness/record/provenance.py", "rev-parse": "a1b2c3", "status": " M x"}

    def git(command, **kwargs):
        return subprocess.CompletedProcess(command, 0, stdout=said[command[4]] + "\n")

    monkeypatch.setattr(subprocess, "run", git)
    assert (environment()["commit"], environment()["dirty"]) == ("a1b2c3", True)


@pytest.mark.parametrize("error", [FileNotFoundError(), subprocess.CalledProcessError(128, "git")])
def test_no_git_is_no_trouble(environment, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    assert (environment()["commit"], environment()["dirty"]) == (None, None)


def test_a_package_that_is_not_installed_under_its_name_is_no_trouble(environment, monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("torch", "no-such-package"))
    assert environment()["no-such-package"] is None


def test_the_cpu_is_called_by_its_name():
    assert provenance.device_name("cpu") == "cpu"
