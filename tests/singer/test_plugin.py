"""What tap and target share as plugins: no secret in an error, and no signal that ends in exit code 0."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from singer_sdk.plugin_base import PluginBase

from bc_images.errors import SettingsError
from bc_images.singer.plugin import SingerPlugin
from tap_bc_images.tap import TapBCImages
from target_bc_images.target import TargetBCImages

PLUGINS = [TapBCImages, TargetBCImages]
SECRET = "s3cret-of-a-wrong-type"
SETTINGS = {"store_hash": "abc", "access_token": "token", "api_url": "http://127.0.0.1:1"}

INTERRUPTED = """
import os, sys
from singer_sdk.plugin_base import PluginBase
from {module} import main

def setup_mapper(self, original=PluginBase.setup_mapper):
    os.kill(os.getpid(), {signum})
    original(self)

PluginBase.setup_mapper = setup_mapper
main()
"""


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_construction_never_ends_in_exit_code_0(
    plugin: type[SingerPlugin], signum: signal.Signals, tmp_path: Path
) -> None:
    """The SDK has its own handlers in place by then, which write a STATE and exit with 0."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(SETTINGS))
    program = INTERRUPTED.format(module=plugin.__module__, signum=int(signum))
    command = [sys.executable, "-c", program, "--config", str(config)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (128 + signum, b""), done.stderr
    assert b"stopped by a signal" in done.stderr
    assert b"Gracefully" not in done.stderr


@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_handlers_of_the_sdk_are_replaced(plugin: type[SingerPlugin], monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(plugin, "interrupt", lambda _, code: codes.append(code))
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        made = plugin(config=SETTINGS)
        for signum in before:
            signal.raise_signal(signum)
            assert made.signal_exit_code == 128 + signum
            made.signal_exit_code = None
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    assert codes == [143, 130]


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_failed_construction_leaves_the_handlers_as_they_were(plugin: type[SingerPlugin]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SettingsError, match="stream_maps"):
        plugin(config={**SETTINGS, "stream_maps": {"product_images": 7}})
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("value", [[SECRET], {"token": SECRET}])
def test_a_secret_of_a_wrong_type_is_not_shown(
    plugin: type[SingerPlugin], value: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with pytest.raises(SettingsError, match="access_token") as raised:
        plugin(config={**SETTINGS, "access_token": value})
    assert SECRET not in str(raised.value) + caplog.text


def test_without_a_check_the_sdk_warns_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """As --discover constructs the tap."""
    TapBCImages(config={"access_token": [SECRET]}, validate_config=False)
    assert "validation failed" not in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_environment_is_above_the_file(plugin: type[SingerPlugin], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{plugin.name.upper().replace('-', '_')}_STORE_HASH", "other")
    assert plugin(config=SETTINGS, parse_env_config=False).settings.store_hash == "other"


@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_mixin_uses_no_private_method_of_the_sdk(plugin: type[SingerPlugin]) -> None:
    for name in ("_handle_termination", "_validate_config", "_setup_signal_handlers"):
        owners = [cls for cls in plugin.__mro__ if name in vars(cls)]
        assert all(cls.__module__.startswith("singer_sdk") for cls in owners)
        assert PluginBase in owners
