"""Running the tap: in this process, where that tells enough, or as the command that a user runs."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from bigcommerce_sandbox import STORE_HASH, TOKEN, SandboxServer
from tap_bc_images.tap import TapBCImages
from tests.support.commands import BIN, TIMEOUT, CommandResult, run_process

COMMAND = [str(BIN / "tap-bc-images")]

Config = dict[str, Any]


def settings(url: str, **more: Any) -> Config:
    """Return the settings for a store at `url`; without retries, so that a failure does not wait."""
    return {"store_hash": STORE_HASH, "access_token": TOKEN, "api_url": url, "store_url": url, "max_retries": 0} | more


def sync(config: Config, *, catalog: Any = None, state: Any = None, tap: TapBCImages | None = None) -> CommandResult:
    """Run the tap in this process and return what it wrote; an error is raised as the tap raised it."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="utf-8")
    error: BaseException | None = None
    with redirect_stdout(out):
        try:
            tap = tap or TapBCImages(config=config, catalog=catalog, state=state)
            tap.sync_all()
        except Exception as raised:  # noqa: BLE001 - raised again below, with what was written
            error = raised
        finally:
            if tap is not None:
                tap.close()
    result = CommandResult(0, raw.getvalue().decode())
    if error is not None:
        error.add_note(f"written: {result.kinds}")
        error.result = result  # type: ignore[attr-defined]
        raise error
    return result


def written_before(error: BaseException) -> CommandResult:
    """Return what the tap had written when `sync` raised `error`."""
    result: CommandResult = error.result  # type: ignore[attr-defined]
    return result


def catalog_of(config: Config, *selected: str, **root: Any) -> dict[str, Any]:
    """Return the catalog that ``--discover`` gives, with some streams selected and metadata set at their root."""
    out = io.StringIO()
    with redirect_stdout(out):
        TapBCImages(config=config, validate_config=False).run_discovery()
    catalog: dict[str, Any] = json.loads(out.getvalue())
    for stream in catalog["streams"]:
        for each in stream["metadata"]:
            if not each["breadcrumb"]:
                each["metadata"]["selected"] = stream["tap_stream_id"] in selected
                if each["metadata"]["selected"]:
                    each["metadata"] |= {name.replace("_", "-"): value for name, value in root.items()}
    return catalog


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what would change the tap, and with more."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TAP_BC_", "LOGLEVEL"))}
    return kept | {"PYTHONUNBUFFERED": "", "NO_PROXY": "*"} | more


def run(
    *arguments: str, config: Mapping[str, Any] | None = None, folder: Path | None = None, **variables: str
) -> CommandResult:
    """Run the command to its end; `config` is written to a file in `folder` for ``--config``."""
    if config is not None:
        assert folder is not None
        path = folder / "config.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        arguments = ("--config", str(path), *arguments)
    return run_process("tap-bc-images", *arguments, env=environment(**variables))


def start(config: Config, folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    """Start the command and leave it running, with pipes for stdout and stderr."""
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return subprocess.Popen(
        [*COMMAND, "--config", str(path), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**variables),
    )


def peak_memory(config: Config, folder: Path) -> int:
    """Run the tap in a fresh process; return the most memory that was resident, in bytes."""
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    # Not getrusage: what it tells of a child starts with the memory of the process that forked it.
    script = (
        "import atexit, sys, tap_bc_images.tap as tap\n"
        "said = lambda: [line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1]\n"
        "atexit.register(lambda: print(said(), file=sys.stderr))\n"
        "sys.argv[:] = ['tap-bc-images', '--config', %r]\n"
        "tap.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script % str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        timeout=TIMEOUT,
        check=True,
    )
    return 1024 * int(done.stderr.splitlines()[-1])


def end(process: subprocess.Popen[bytes], signum: signal.Signals) -> CommandResult:
    """Send a signal, wait for the end, and return what has not been read yet."""
    assert process.stdout is not None
    assert process.stderr is not None
    process.send_signal(signum)
    # Not communicate(): it would lose what a reading line by line has buffered.
    with process.stdout, process.stderr:
        out, err = process.stdout.read(), process.stderr.read()
    return CommandResult(process.wait(TIMEOUT), out.decode(), err.decode())


def stored(sandbox: SandboxServer) -> list[int]:
    """Return the ids of all images in the store, by product and image, as the tap emits them."""
    images = sandbox.dump(files=False)["images"]
    return [image["id"] for image in sorted(images, key=lambda each: (each["product_id"], each["id"]))]
