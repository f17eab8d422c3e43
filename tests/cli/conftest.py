from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _impatient(impatient: None, plain_environment: None) -> None:
    """Retries follow soon, and what the machine says of proxies and certificates does not count."""
