"""The model that training is tried on."""

import pytest

from harness.testing import small_backbone


@pytest.fixture
def backbone():
    return small_backbone()
