from __future__ import annotations

from collections.abc import Iterator

import pytest

from bigcommerce_sandbox import SandboxServer
from tests.support.api_client import ApiClient


@pytest.fixture
def api() -> Iterator[ApiClient]:
    """A fresh store of 5 products with 3 images each."""
    with SandboxServer(products=5, images=3) as sandbox:
        yield ApiClient(sandbox)


@pytest.fixture
def bare() -> Iterator[ApiClient]:
    """A fresh store with one product that has no image; the product's id is `door.FIRST`."""
    with SandboxServer(products=1, images=0) as sandbox:
        yield ApiClient(sandbox)
