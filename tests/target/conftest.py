from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _impatient(impatient: None) -> None:
    """Retries follow soon."""
