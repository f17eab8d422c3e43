"""What reaches stderr: libraries only with warnings, a warning once, no secret, and JSON down to the last line."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bc_images import logs
from bigcommerce_sandbox import SandboxServer
from tests.support.scripted_server import TOKEN, unused_port
from tests.support.target import RestoreScenario

BIN = Path(sys.executable).parent
TIMEOUT = 60  # seconds

Configured = Callable[..., io.StringIO]


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Configured:
    """Set up the logging as a command does, to a stream in memory."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", root.level)

    def configure(**environment: str) -> io.StringIO:
        monkeypatch.setattr(root, "handlers", [])  # now, when pytest has attached its own
        for name in ("LOGLEVEL", "TAP_BC_IMAGES_LOGLEVEL", "SINGER_SDK_LOG_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        logs.configure_logging("TAP_BC_IMAGES_", lambda: logs.set_up_console("it", "TAP_BC_IMAGES_"))
        return stream

    return configure


LIBRARIES = ["azure.core.pipeline.policies.http_logging_policy", "asyncssh", "gcsfs", "botocore.hooks", "s3fs", "new"]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("level", ["", "INFO", "WARNING"])
def test_libraries_are_heard_from_warning_on(configured: Configured, library: str, level: str) -> None:
    stream = configured(LOGLEVEL=level)
    logger = logging.getLogger(library)
    for name in (library, library.partition(".")[0]):  # opening a file store silences some of them
        logging.getLogger(name).setLevel(logging.NOTSET)
    logger.debug("trivial")
    logger.info("daily work")
    logger.warning("careful")
    logger.error("broken")
    assert stream.getvalue().splitlines() == ["it: careful", "it: broken"]


def test_libraries_are_heard_wholly_where_debug_is_asked_for(configured: Configured) -> None:
    for name in ("LOGLEVEL", "TAP_BC_IMAGES_LOGLEVEL"):
        stream = configured(**{name: "debug"})
        logging.getLogger("asyncssh").debug("detail")
        assert "it: detail" in stream.getvalue()


@pytest.mark.parametrize("name", ["bc_images.files", "tap_bc_images.x", "target-bc-images", "singer_sdk.sinks"])
def test_we_ourselves_are_heard_from_info_on(configured: Configured, name: str) -> None:
    stream = configured()
    logging.getLogger(name).info("progress")
    assert stream.getvalue() == "it: progress\n"


@pytest.mark.parametrize(("level", "text"), [("", ""), ("INFO", "it: METRIC: 1\n")])
def test_metrics_are_heard_where_a_level_is_asked_for(configured: Configured, level: str, text: str) -> None:
    stream = configured(LOGLEVEL=level)
    logging.getLogger("singer_sdk.metrics").info("METRIC: %s", 1)
    assert stream.getvalue() == text


def test_a_repeated_warning_appears_once(configured: Configured) -> None:
    stream = configured()
    logger, other = logging.getLogger("bc_images.x"), logging.getLogger("bc_images.y")
    for number in (1, 1, 2):
        logger.warning("the header of product %d is odd", number)
    other.warning("the header of product %d is odd", 1)
    logger.warning("with a reason", exc_info=ValueError("a"))
    logger.warning("with a reason", exc_info=ValueError("b"))
    for _ in range(2):
        logger.error("it failed")
        logger.info("so far")
    lines = [line for line in stream.getvalue().splitlines() if line.startswith("it: ")]
    assert lines == [
        "it: the header of product 1 is odd",
        "it: the header of product 2 is odd",
        "it: the header of product 1 is odd",
        "it: with a reason",
        "it: with a reason",
        *["it: it failed", "it: so far"] * 2,
    ]


def test_what_is_remembered_of_warnings_is_limited(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_MAX_WARNINGS", 3)
    stream = configured()
    for number in (1, 2, 3, 3, 4, 2, 1):
        logging.getLogger("bc_images").warning("%d", number)
    assert stream.getvalue().split() == ["it:", "1", "it:", "2", "it:", "3", "it:", "4", "it:", "1"]


def test_a_record_with_wrong_arguments_breaks_nothing(configured: Configured) -> None:
    configured()
    logging.getLogger("library").warning("%d", "no number")


# The last line


STRUCTURED = """
version: 1
disable_existing_loggers: false
formatters:
  structured:
    (): singer_sdk.logging.StructuredFormatter
handlers:
  console:
    class: logging.StreamHandler
    formatter: structured
    stream: ext://sys.stderr
root:
  level: INFO
  handlers: [console]
"""


def command(
    tmp_path: Path, *arguments: str | Path, stdin: bytes = b"{}\n", **environment: Any
) -> tuple[int, list[str]]:
    """Run a command of ours; return its exit code and the lines of its stderr."""
    program, *rest = arguments
    done = subprocess.run(
        [BIN / program, *rest],
        input=stdin,
        capture_output=True,
        env={**os.environ, **environment},
        cwd=tmp_path,
        timeout=TIMEOUT,
    )
    return done.returncode, done.stderr.decode().splitlines()


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Settings for a store that does not answer."""
    path = tmp_path / "config.json"
    config = {"store_hash": "x", "access_token": TOKEN, "api_url": f"http://127.0.0.1:{unused_port()}"}
    path.write_text(json.dumps({**config, "max_retries": 0, "file_store": str(tmp_path / "files")}))
    return path


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["tap-bc-images", "--config"], 3),
        (["target-bc-images", "--config"], 3),
        (["bc-images", "shards", "--count", "2", "--config"], 3),
        (["target-bc-images", "--nonsense", "--config"], 2),
        (["bc-images", "check", "--file-store", "/nowhere/at/all", "--nonsense"], 2),
        (["bc-images", "nonsense"], 2),
        (["tap-singer-archive", "--config", "missing.json", "--config"], 2),
        (["destination-bc-images", "check", "--nonsense", "--config"], 2),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_every_line_is_json_where_the_logs_are(tmp_path: Path, settings: Path, arguments: list[str], code: int) -> None:
    (tmp_path / "logging.yaml").write_text(STRUCTURED)
    ended, lines = command(tmp_path, *arguments, settings, SINGER_SDK_LOG_CONFIG="logging.yaml")
    assert ended == code, lines
    last = json.loads(lines[-1])
    assert last["level"] == "error"
    assert last["message"]
    assert all(json.loads(line)["level"] for line in lines)


def test_the_table_of_a_restore_is_one_record_where_the_logs_are_json(tmp_path: Path) -> None:
    with SandboxServer(products=2, images=2) as sandbox:
        scenario = RestoreScenario(sandbox, tmp_path)
        (tmp_path / "logging.yaml").write_text(STRUCTURED)
        config = tmp_path / "config.json"
        config.write_text(json.dumps(scenario.config))
        backup = scenario.backup()
        sandbox.delete_image(sandbox.dump(files=False)["images"][0]["id"])
        environment = {"SINGER_SDK_LOG_CONFIG": "logging.yaml"}
        code, lines = command(tmp_path, "target-bc-images", "--config", config, stdin=backup, **environment)
    assert code == 0, lines
    messages = [json.loads(line)["message"] for line in lines]
    assert sum("create        1" in message for message in messages) == 1
    assert messages[-1].startswith("What this run changed can be taken back: ")


@pytest.mark.parametrize("program", ["tap-bc-images", "target-bc-images", "bc-images", "tap-singer-archive"])
@pytest.mark.parametrize(
    "environment", [{"LOGLEVEL": "LOUD"}, {"SINGER_SDK_LOG_CONFIG": "broken.yaml"}], ids=lambda value: next(iter(value))
)
def test_a_logging_configuration_that_is_not_valid(
    tmp_path: Path, settings: Path, program: str, environment: dict[str, Any]
) -> None:
    (tmp_path / "broken.yaml").write_text("version: 7\nhandlers: [")
    rest = ["shards", "--count", "2"] if program == "bc-images" else []
    code, lines = command(tmp_path, program, *rest, "--config", settings, **environment)
    assert code == 2
    assert lines[-1].startswith(f"{program}: Invalid logging configuration")
    assert not any("Traceback" in line for line in lines)


def test_metrics_stay_in_the_arguments_of_a_record() -> None:
    """Where the logs are JSON, the SDK's formatter takes a metric out of them."""
    point = object()
    record = logging.LogRecord("singer_sdk.metrics", logging.INFO, __file__, 1, "METRIC: %s", (point,), None)
    assert logs._printable(record).args == (point,)
