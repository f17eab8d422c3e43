"""Redacts secrets and credentials in URLs.

Secrets are known by where they come from, the settings and the environment, whatever they look like.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus, unquote

__all__ = ["keep_secret", "keep_secret_arguments", "keep_secret_proxies", "keep_secret_settings", "redact"]

_STANDS_ALONE = 6  # characters: a shorter secret is hidden where it stands alone, not in the middle of every other word
_SECRET_NAME = re.compile("token|passw|secret|credential|api_?key|access_?key|private_?key", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"""([\w-]+)["']?\s*[:=]\s*(?:"((?:[^"\\]|\\.)+)|'([^']+)|([^\s"',}\]]+))""")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy")

# Possessive: each address is read once, also where many stand in one word.
_ADDRESS = re.compile(r"(https?://[^\s?'\"]++)(\?[^\s'\")]*)?")
_CREDENTIALS = re.compile(r"://[^/\s]+@")

_secrets: set[str] = set()
_pattern: re.Pattern[str] | None = None


def keep_secret(*values: str | None) -> None:
    """Hide these values in all that `redact` returns from now on: for the whole process, as logs and errors are.

    Hidden, too, is how they look inside JSON, Python and addresses.
    """
    global _pattern  # noqa: PLW0603 - as the secrets themselves
    known = len(_secrets)
    for value in values:
        if value:
            # A variable of the environment that is no UTF-8 holds half a surrogate pair.
            quoted = quote(value, safe="", errors="replace"), quote_plus(value, errors="replace")
            spellings = (value, json.dumps(value)[1:-1], repr(value)[1:-1], *quoted)
            _secrets.update(spelling for spelling in spellings if spelling)
    if len(_secrets) != known:
        # The longest first: one may begin another, whose end would stay.
        _pattern = re.compile("|".join(map(_searched, sorted(_secrets, key=len, reverse=True))))


def _searched(secret: str) -> str:
    if len(secret) >= _STANDS_ALONE:
        return re.escape(secret)
    return f"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])"


def keep_secret_settings(config: Mapping[str, object]) -> None:
    """Hide the values of settings whose names say that they are secret."""
    keep_secret(*(value for name, value in config.items() if isinstance(value, str) and _SECRET_NAME.search(name)))


def keep_secret_arguments(arguments: Iterable[str]) -> None:
    """Hide what arguments of a command give as the value of a secret, as in ``{"access_token": "..."}``.

    No command takes any; but an error may show an argument that it cannot use.
    """
    for argument in arguments:
        for name, *values in _ASSIGNMENT.findall(argument):
            if _SECRET_NAME.search(name):
                keep_secret(*values)


def keep_secret_proxies(environ: Mapping[str, str]) -> None:
    """Hide the password, and the user with it, of every proxy that the environment names."""
    for name, value in environ.items():
        if name.lower() in _PROXIES and "@" in value:
            user_info = value.rpartition("@")[0].rpartition("://")[2]
            password = user_info.partition(":")[2] or user_info
            keep_secret(user_info, password, unquote(password))


def redact(text: str) -> str:
    """Return `text` without secrets, and without what an address may carry (``user:password@``, query strings)."""
    if _pattern is not None:
        text = _pattern.sub("***", text)
    text = _ADDRESS.sub(lambda address: address[1] + ("?***" if address[2] else ""), text)
    return _CREDENTIALS.sub("://***@", text)
