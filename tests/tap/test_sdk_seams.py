"""What the tap takes from the SDK beside its public interface, held to the text of the installed version.

A failure does not mean that the tap is broken: read what the SDK has changed, adapt ``tap_bc_images/sync.py`` or
``bc_images/singer/plugin.py`` where the table says why it matters, and set the new digest.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from singer_sdk import Stream, Tap
from singer_sdk.plugin_base import PluginBase

from bc_images.singer.plugin import SingerPlugin
from tap_bc_images.streams import ProductImagesStream, ProductsStream
from tap_bc_images.sync import SyncLoop
from tap_bc_images.tap import TapBCImages

SEAMS: list[tuple[Callable[..., Any], str, str]] = [
    (Stream._sync_records, "8928dc7f50e9bf57", "SyncLoop._sync_records takes its place"),
    (Stream.sync, "6b4262dcdddf22b4", "it calls _sync_records after the SCHEMA and iterates over what it yields"),
    (Stream._generate_record_messages, "9b5f9fbcdedb7a1a", "CatalogStream._write_record makes the same messages"),
    (
        Stream._write_activate_version_message,
        "b5295d35a81b3da6",
        "_write_activate_version makes the same",
    ),
    (Stream._write_state_message, "f82ecd8d16986823", "CatalogStream writes STATE by tap.state_writer instead"),
    (
        Stream.finalize_state_progress_markers,
        "295d29eb8b73d5c5",
        "called after the sync; must not change the state",
    ),
    (Tap.sync_all, "e4412393757b4cdc", "it calls Stream.sync for each selected stream"),
    (Tap.run_sync_dry_run, "da3cd8ec5cd98b13", "it sets ABORT_AT_RECORD_COUNT, by which SyncLoop ends --test"),
    (Tap.cb_test, "4f1ea14c3ccb8338", "TapBCImages.cb_test takes its place"),
    (
        PluginBase.__init__,
        "e4d42262fbeb7fbe",
        "SingerPlugin checks before it, and sets signal handlers after it",
    ),
    (
        PluginBase._validate_config,
        "0584b9e347e353fa",
        "it reads config_jsonschema, which SingerPlugin empties",
    ),
    (PluginBase._setup_signal_handlers, "eb4287001bdd7d19", "it sets the handlers that SingerPlugin replaces"),
]


def digest(function: Callable[..., Any]) -> str:
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]


@pytest.mark.parametrize(("function", "known", "reason"), SEAMS, ids=lambda value: getattr(value, "__qualname__", ""))
def test_the_sdk_has_not_changed_what_is_relied_on(function: Callable[..., Any], known: str, reason: str) -> None:
    assert digest(function) == known, f"the SDK has changed {function.__qualname__}: {reason}"


def test_the_signature_is_that_of_the_sdk() -> None:
    ours, theirs = (inspect.signature(cls._sync_records).parameters for cls in (SyncLoop, Stream))
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]


@pytest.mark.parametrize(
    ("cls", "overridden"),
    [(TapBCImages, set()), (ProductImagesStream, {"_sync_records"}), (ProductsStream, {"_sync_records"})],
)
def test_no_other_private_name_of_the_sdk_is_overridden(cls: type, overridden: set[str]) -> None:
    ours = [base for base in cls.__mro__ if base.__module__.startswith(("tap_bc_images", SingerPlugin.__module__))]
    theirs = [base for base in cls.__mro__ if base.__module__.startswith("singer_sdk")]
    private = {name for base in theirs for name in vars(base) if name.startswith("_") and not name.startswith("__")}
    assert {name for base in ours for name in vars(base) if name in private - {"_abc_impl"}} == overridden
