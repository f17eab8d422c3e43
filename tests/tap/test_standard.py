"""The SDK's standard suites, whole: no case is left out.

Two of them test less than their names say, and have their own counterparts here: ``primary_keys`` compares generators
(see `test_no_two_records_share_a_key`), and ``transformed_catalog_schema_matches_record`` only warns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class

from bigcommerce_sandbox import SandboxServer
from tap_bc_images.tap import TapBCImages
from tests.support.tap import catalog_of, settings

CONFIG: dict[str, Any] = settings("http://127.0.0.1:1")  # the address is known when the store has started

Standard: Any = get_tap_test_class(
    TapBCImages,
    config=CONFIG,
    # The suites look at the SCHEMA of every stream, and that of one that is not selected is empty.
    catalog=catalog_of(CONFIG, "product_images", "products"),
    # Fewer than the images of the store, so that the sync is cut short as --test cuts it.
    suite_config=SuiteConfig(max_records_limit=150),
)


class Suite(Standard):  # type: ignore[misc]
    VERSION = "v3"

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _store(cls) -> Iterator[None]:
        with SandboxServer(products=120, images=2) as sandbox:
            CONFIG.update(settings(sandbox.url, api_version=cls.VERSION))
            yield


class TestV3(Suite):
    VERSION = "v3"


class TestV2(Suite):
    VERSION = "v2"
