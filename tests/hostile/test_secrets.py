"""Where a secret could come out: a command line, a message, a log line, a file that others may read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bc_images import redaction
from bc_images.redaction import keep_secret, keep_secret_arguments, keep_secret_proxies, redact
from tests.support.commands import CommandResult, run, run_process

SECRET = "hunter2-Sesame"
INLINE = json.dumps({"store_hash": "abc", "access_token": SECRET})


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets of other tests are none here, and these are none elsewhere."""
    monkeypatch.setattr(redaction, "_secrets", set())
    monkeypatch.setattr(redaction, "_pattern", None)


def run_with(environment: dict[str, str], *command: str, folder: Path) -> CommandResult:
    return run_process(*command, cwd=folder, env={**os.environ, **environment}, timeout=120)


def shown(*command: str, folder: Path, own_process: bool) -> CommandResult:
    """Run a command, in a process of its own where `own_process` says so: what it prints must not hold the secret."""
    result = run_with({}, *command, folder=folder) if own_process else run(*command, cwd=folder)
    assert SECRET not in result.out + result.err
    return result


COMMANDS = [
    ["tap-bc-images", "--config"],
    ["tap-bc-images", "--discover", "--config"],
    ["tap-bc-images", "--test", "--config"],
    ["target-bc-images", "--config"],
    ["tap-singer-archive", "--config"],
    ["target-singer-archive", "--config"],
    ["bc-images", "verify", "--backup", "backup.singer", "--config"],
    ["bc-images", "retry", "report.jsonl", "--config"],
    ["bc-images", "shards", "--count", "2", "--config"],
    ["source-bc-images", "check", "--config"],
    ["source-bc-images", "discover", "--config"],
    ["source-bc-images", "read", "--catalog", "catalog.json", "--config"],
    ["destination-bc-images", "check", "--config"],
    ["destination-bc-images", "write", "--catalog", "catalog.json", "--config"],
]


SPELLINGS = [INLINE, f" \n{INLINE}", f"[{INLINE}]", INLINE[:-1], INLINE * 100]
CASES = [(command, INLINE) for command in COMMANDS] + [(COMMANDS[0], spelling) for spelling in SPELLINGS[1:]]


@pytest.mark.parametrize(("command", "given"), CASES, ids=range(len(CASES)))
def test_settings_on_the_command_line_are_refused_and_not_shown(command: list[str], given: str, tmp_path: Path) -> None:
    for name in ("backup.singer", "catalog.json", "report.jsonl"):
        (tmp_path / name).write_text("{}\n")
    ended = shown(*command, given, folder=tmp_path, own_process=(command, given) in (CASES[0], CASES[-1]))
    if command[1] == "check":  # in Airbyte's protocol, a failure is an answer
        assert "takes the path of a file" in ended.out
    elif command[1] in {"retry", "write"}:  # these read something else first
        assert ended.code in {1, 2, 3}
    else:
        assert ended.code == 2
        assert "takes the path of a file" in ended.err + ended.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["tap-bc-images", INLINE],
        ["target-bc-images", INLINE],
        ["tap-bc-images", "--config", f"access_token={SECRET}"],
        ["tap-bc-images", f"--access-token={SECRET}"],
        ["tap-bc-images", "--state", INLINE],
        ["tap-bc-images", "--catalog", INLINE],
        ["bc-images", "retry", INLINE],
        ["bc-images", "check", INLINE],
        ["bc-images", "verify", "--backup", INLINE],
        ["bc-images", INLINE],
        ["target-singer-archive", INLINE],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_a_secret_where_anything_else_belongs_is_not_shown(arguments: list[str], tmp_path: Path) -> None:
    ended = shown(*arguments, folder=tmp_path, own_process=arguments == ["tap-bc-images", INLINE])
    assert ended.code != 0


@pytest.mark.parametrize("name", ["api_url", "store_url", "file_store_public_url"])
@pytest.mark.parametrize("address", ["http://user:{}@host", "https://{}@api.bigcommerce.com", "https://:{}@[::1"])
def test_no_address_carries_credentials(name: str, address: str, tmp_path: Path) -> None:
    config = {"store_hash": "abc", "access_token": "a-token", name: address.format(SECRET)}
    command = "target-bc-images" if name == "file_store_public_url" else "tap-bc-images"
    if command == "target-bc-images":
        config["state_dir"] = str(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    ended = shown(command, "--config", "config.json", folder=tmp_path, own_process="[::1" in address)
    assert (ended.code, ended.out) == (2, "")
    assert name in ended.err


def test_the_password_of_a_proxy_is_not_shown(tmp_path: Path) -> None:
    config = {"store_hash": "abc", "access_token": "a-token", "max_retries": 0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    proxy = f"http://user:{SECRET}@127.0.0.1:1"
    environment = {"HTTPS_PROXY": proxy, "LOGLEVEL": "DEBUG"}
    ended = run_with(environment, "tap-bc-images", "--config", "config.json", folder=tmp_path)
    assert ended.code == 3
    assert SECRET not in ended.out + ended.err


# Redaction


@pytest.mark.parametrize(
    "secret", ["x", "ab", "abc", "12345", "s3cr3t", "a long one with blanks", "päss", 'q"uo\\te', "%41/+="]
)
@pytest.mark.parametrize("text", ["{}", "token {} refused", "({})", '"{}"', "token={}", "at https://host/{}/path"])
def test_a_secret_of_any_length_is_hidden(secret: str, text: str) -> None:
    keep_secret(secret)
    spellings = [secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]]
    for spelling in spellings:
        assert redact(text.format(spelling)) == text.format("***")


def test_a_long_secret_is_hidden_inside_of_words() -> None:
    keep_secret("s3cr3t")
    assert redact("xxs3cr3txx") == "xx***xx"


def test_a_short_secret_garbles_no_words() -> None:
    keep_secret("t", "e", "at")
    assert redact("Nothing was written at t.") == "Nothing was written *** ***."


def test_asterisks_may_be_a_secret() -> None:
    keep_secret("***", "*")
    assert redact("a * b") == "a *** b"


@pytest.mark.parametrize(
    ("argument", "hidden"),
    [
        (INLINE, SECRET),
        ('{"access_token":"' + SECRET, SECRET),
        ("{'webdav_password': '" + SECRET + "'}", SECRET),
        (f"--access-token={SECRET}", SECRET),
        (f"TAP_BC_IMAGES_ACCESS_TOKEN={SECRET}", SECRET),
        ('{"a": {"client_secret": "' + SECRET + '"}}', SECRET),
        ("--backup=file.singer", None),
        ("postgres://host:5432/name", None),
    ],
)
def test_secrets_in_arguments(argument: str, hidden: str | None) -> None:
    keep_secret_arguments([argument])
    assert (SECRET in redact(f"no such file: {SECRET}")) == (hidden is None)
    assert redact("file.singer name 5432") == "file.singer name 5432"


@pytest.mark.parametrize(
    "proxy", ["http://user:{}@proxy:3128", "user:{}@proxy", "http://{}@proxy", "socks5://u:{}@p:1"]
)
def test_secrets_in_proxies(proxy: str) -> None:
    keep_secret_proxies({"https_proxy": proxy.format("p@ss/w%3Ard"), "no_proxy": "a@b"})
    for text in ("p@ss/w%3Ard", "p@ss/w:rd"):
        assert "ss/w" not in redact(f"the password {text} was refused")
    assert redact("a@b") == "a@b"


def test_a_secret_of_the_environment_is_hidden_before_anything_is_checked(tmp_path: Path) -> None:
    names = ("ACCESS_TOKEN", "API_URL", "STORE_HASH", "CONCURRENCY", "FILES")
    environment = {f"TAP_BC_IMAGES_{name}": SECRET for name in names}
    ended = run_with({"LOGLEVEL": "DEBUG", **environment}, "tap-bc-images", folder=tmp_path)
    assert ended.code == 2
    assert SECRET not in ended.err
