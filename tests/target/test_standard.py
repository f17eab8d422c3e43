"""The SDK's standard suite for targets, whole: no case is left out.

Its streams are none of ours, so that it tests how a target meets what it does not know; what becomes of our own is in
the other files here.
"""

from __future__ import annotations

from typing import Any

from singer_sdk.testing import get_target_test_class
from singer_sdk.testing.suites import target_tests

from target_bc_images.target import TargetBCImages

NOBODY = "http://127.0.0.1:1"  # the suite never gets as far as the store

Standard: Any = get_target_test_class(
    TargetBCImages,
    config={"store_hash": "sandbox", "access_token": "none", "api_url": NOBODY, "store_url": NOBODY},
)


class TestStandard(Standard):  # type: ignore[misc]
    pass


def test_all_of_it_is_run() -> None:
    collected = {name for name in dir(TestStandard) if name.startswith("test_")}
    assert collected == {f"test_target_{test.name}" for test in target_tests.tests}
    assert len(collected) == 16
