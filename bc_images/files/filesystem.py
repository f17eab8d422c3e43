"""Opens the fsspec file system of a URL, and says which package is missing."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import fsspec
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations

from bc_images.errors import SettingsError
from bc_images.files.storage_errors import classify, one_line, storage_error, variables
from bc_images.redaction import keep_secret, redact

__all__ = ["EXTRAS", "display_name", "open_filesystem", "schemes_of"]

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}
"""URL scheme -> the extra of ours that brings its library."""

_PACKAGES = {
    "http": "aiohttp requests",
    "https": "aiohttp requests",
    "oci": "ocifs",
    "oss": "ossfs",
    "sftp": "paramiko",
    "smb": "smbprotocol",
    "ssh": "paramiko",
    "webdav": "'webdav4[fsspec]'",
}
"""URL scheme -> what to install. For every other scheme fsspec's own text is shown: a guessed name may be anybody's."""

_READ_ONLY = {
    "data": "the URL itself is the file",
    "generic": "it names no storage of its own",
    "gist": "it is read-only",
    "git": "it is read-only",
    "github": "it is read-only",
    "http": "it is read-only",
    "https": "it is read-only",
    "libarchive": "it is one archive file",
    "reference": "it is read-only",
    "tar": "it is one archive file",
    "zip": "it is one archive file",
}
"""URL scheme -> why no picture is kept there one by one and for good."""

_MISSING_ARGUMENT = re.compile(r"__init__\(\) missing \d+ required (?:positional|keyword-only) arguments?: '(\w+)'")
_INVALID = (ValueError, TypeError, KeyError, AttributeError, FileNotFoundError, IsADirectoryError, NotADirectoryError)
_LOGGERS = ("adlfs", "asyncio", "asyncssh", "azure", "botocore", "fsspec", "gcsfs", "paramiko", "s3fs", "smbprotocol")


def open_filesystem(url: str, *, writable: bool) -> tuple[Any, str]:
    """Return the fsspec file system of a URL, and the path in it. Some connect at once.

    Args:
        url: an fsspec URL, also a chained one such as ``simplecache::s3://bucket``.
        writable: whether files are to be written.

    Raises:
        SettingsError: the URL is not valid, its library is not installed, or no backup can be kept there.
        FileStoreError: the server does not answer or refuses the login.
    """
    schemes = schemes_of(url)
    if any(scheme in EXTRAS for scheme in schemes) and _names_a_key(url):
        raise SettingsError(
            f"file_store: {schemes[-1]}:// takes no key or password in the address. Give them in the environment."
        )
    if password := re.search(r"://[^/:@]*:([^/]+)@", url):
        keep_secret(password[1], unquote(password[1]))
    _log_errors_once()
    for scheme in schemes:
        _import(scheme)
        if writable and scheme in _READ_ONLY:
            raise SettingsError(_not_writable(f"{scheme}://", _READ_ONLY[scheme]))
    try:
        fs, path = fsspec.url_to_fs(_lower(url))
    except ImportError as error:
        raise SettingsError(_not_installed(schemes[-1], error)) from error
    except Exception as error:
        raise _refusal(url, schemes[-1], error) from error
    if "memory" in schemes or any(isinstance(layer, MemoryFileSystem) for layer in _layers(fs)):
        raise SettingsError(_not_writable("memory://", "it ends with the process"))
    return fs, path


def schemes_of(url: str) -> list[str]:
    """Return the schemes of a URL in small letters, the outermost first: several where it is chained with ``::``.

    Raises:
        SettingsError: fsspec does not know one of them.
    """
    links = url.split("::")
    schemes = [link.partition("://")[0].lower() if "://" in link else link.lower() for link in links[:-1]]
    schemes.append(links[-1].partition("://")[0].lower() if "://" in links[-1] else "file")
    known = {*known_implementations, *fsspec.registry, *EXTRAS}
    for scheme in schemes:
        if scheme not in known:
            raise SettingsError(_unknown(scheme, sorted(known)))
    return schemes


def display_name(url: str, path: str) -> str:
    """Return how messages call the place: its address without password or query."""
    scheme = schemes_of(url)[-1]
    if scheme in EXTRAS:
        return redact(f"{scheme}://{path}")
    return redact(re.sub(r"(://[^/:@]*):[^/]+@", r"\1@", url)).rstrip("/")


def _lower(url: str) -> str:
    return re.sub(r"[A-Za-z][A-Za-z0-9+.-]*(?=://|::)", lambda scheme: scheme[0].lower(), url)


def _import(scheme: str) -> None:
    try:
        fsspec.get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:  # some schemes are known only once their library is installed
        raise SettingsError(_not_installed(scheme, error)) from error


def _not_installed(scheme: str, error: Exception) -> str:
    """Name the package: ours, one that is known to be right, or what fsspec itself says. Never the scheme."""
    message = f"file_store: {scheme}:// needs a library that is not installed."
    if extra := EXTRAS.get(scheme):
        return f"{message} Run: pip install 'bc-images[{extra}]'"
    if package := _PACKAGES.get(scheme):
        return f"{message} Run: pip install {package}"
    advice = known_implementations.get(scheme, {}).get("err") or one_line(error)
    return f"{message} fsspec says: {' '.join(str(advice).split()).rstrip('.')}."


def _unknown(scheme: str, known: list[str]) -> str:
    usual = "a folder, or an address with s3://, gs://, az://, sftp://, smb://, webdav://, ftp:// or file://"
    near = difflib.get_close_matches(scheme, known, n=1)
    hint = f" Did you mean {near[0]}://?" if near else ""
    return f"file_store: {redact(scheme)[:60]}:// is not a known scheme.{hint} Give {usual}."


def _not_writable(scheme: str, reason: str) -> str:
    return (
        f"file_store: {scheme} cannot hold a backup: {reason}. Nothing was read or written. "
        "Give a folder, or an address such as s3://bucket/prefix or sftp://host/folder."
    )


def _refusal(url: str, scheme: str, error: Exception) -> Exception:
    """Return what it means that a file system was not opened: its server, or the address itself."""
    kind = classify(error)
    if isinstance(error, TypeError) and (argument := _MISSING_ARGUMENT.search(str(error))):
        variable = f"FSSPEC_{scheme.upper()}_{argument[1].upper()}"
        return SettingsError(f"file_store: {scheme}:// needs {argument[1]}: set the environment variable {variable}.")
    if kind == "credentials" and isinstance(error, ValueError):  # nothing was sent: there are none
        return SettingsError(
            f"file_store: cannot connect to {redact(url)}: {one_line(error)}. {variables(scheme)}".strip()
        )
    if isinstance(error, _INVALID) and kind in {"other", "missing"}:
        return SettingsError(f"file_store: {one_line(error)}. Give a folder or an fsspec URL.")
    return storage_error(error, "connect to", display_name(url, ""), scheme, url)


def _layers(fs: Any) -> Iterator[Any]:
    """Yield a file system and those that it wraps."""
    waiting, seen = [fs], set()
    while waiting:
        layer = waiting.pop()
        if layer is None or id(layer) in seen:
            continue
        seen.add(id(layer))
        yield layer
        attributes = object.__getattribute__(layer, "__dict__")  # a cache answers for what it wraps
        waiting += [attributes.get(name) for name in ("fs", "_fs", "sync_fs")]


def _names_a_key(url: str) -> bool:
    """Whether an address begins with ``key:secret``, which the object stores' libraries take for the bucket's name.

    They would show it in an error. No bucket's name holds a colon; only Amazon's resource names do.
    """
    begin = re.split("[/@]", url.partition("://")[2], maxsplit=1)[0]
    return ":" in begin and not begin.startswith("arn:")


def _log_errors_once() -> None:
    """Switch off what libraries log, tracebacks among it, of errors that they raise as well: these we report."""
    if "DEBUG" in {os.environ.get("LOGLEVEL"), *(v for k, v in os.environ.items() if k.endswith("_LOGLEVEL"))}:
        return
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
