"""One policy for everything that is sent again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bc_images.bigcommerce.retry import RetryPolicy, capped_retry_after, parse_retry_after
from bc_images.bigcommerce.transport import HttpClient
from bc_images.errors import StoreUnreachable
from bc_images.files.http_download import HttpDownloader, RetryBudget, TransientError
from bc_images.files.webdav import WebDAV
from bc_images.settings import Settings
from tests.support.scripted_server import Reply, Server, serving


@pytest.mark.parametrize("status", [408, 423, 425, 429, 500, 502, 503, 504, 520, 599])
def test_statuses_that_may_pass(status: int) -> None:
    assert RetryPolicy().is_retryable(status)


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 409, 410, 422, 501, 505, 507, 509])
def test_statuses_that_do_not(status: int) -> None:
    assert not RetryPolicy().is_retryable(status)


@pytest.mark.parametrize(
    ("failures", "never_connected", "seconds", "expected"),
    [
        (0, False, 0.0, False),
        (9, False, 1000.0, False),
        (10, False, 0.0, True),
        (2, True, 0.0, False),
        (3, True, 0.0, True),
        (0, True, 5.0, True),
    ],
)
def test_when_no_retry_is_left(failures: int, never_connected: bool, seconds: float, expected: bool) -> None:
    policy = RetryPolicy(max_retries=10)
    assert policy.is_exhausted(failures, never_connected=never_connected, seconds=seconds) is expected


def test_the_server_may_ask_for_a_longer_wait_but_not_a_shorter_one() -> None:
    assert RetryPolicy().delay(0, 7.0) == 7.0
    assert 0.375 <= RetryPolicy().delay(0, 0.1) <= 0.5


def test_a_wait_beyond_measure_is_cut_and_said() -> None:
    assert parse_retry_after({"Retry-After": "3600"}) == 3600.0
    assert capped_retry_after({"Retry-After": "3600"}) == (60.0, " (it asks for a wait of 3,600 s)")
    assert capped_retry_after({}) == (0.0, "")


@pytest.fixture
def busy() -> Iterator[Server]:
    """A server that answers every request with a 503."""
    with serving(lambda _: Reply(503)) as server:
        yield server


def test_api_downloads_and_webdav_follow_the_same_policy(busy: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patched in one place, all three wait by it, as often as the setting says."""
    asked: list[int] = []

    def backoff(_policy: RetryPolicy, attempt: int) -> float:
        asked.append(attempt)
        return 0.0

    monkeypatch.setattr(RetryPolicy, "backoff", backoff)
    config = {"store_hash": "abc", "access_token": "t", "api_url": busy.url, "store_url": busy.url, "max_retries": 2}
    settings = Settings.from_config(config)
    with pytest.raises(StoreUnreachable):
        HttpClient(settings).get("/v3/catalog/products")
    with pytest.raises(StoreUnreachable), WebDAV(settings, "user", "password").temporary_upload("x.png", b"x"):
        pass
    downloader, budget = HttpDownloader(settings), RetryBudget(RetryPolicy(settings.max_retries))
    for _ in range(2):
        with pytest.raises(TransientError) as interrupted:
            next(downloader.fetch(f"{busy.url}/x.png", budget))
        downloader.pause(interrupted.value, budget, busy.url)
    assert asked == [0, 1] * 3
