from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _plain_environment(plain_environment: None) -> None:
    """What the machine says of proxies and certificates does not count."""
