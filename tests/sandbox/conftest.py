from __future__ import annotations

from collections.abc import Iterator

import pytest

from bc_images.sandbox import SandboxServer
from tests.sandbox.door import Door


@pytest.fixture
def shop() -> Iterator[Door]:
    """A fresh store of 5 products with 3 images each."""
    with SandboxServer(products=5, images=3) as sandbox:
        yield Door(sandbox)


@pytest.fixture
def bare() -> Iterator[Door]:
    """A fresh store with one product that has no image; the product's id is `door.FIRST`."""
    with SandboxServer(products=1, images=0) as sandbox:
        yield Door(sandbox)
