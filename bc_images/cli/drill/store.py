"""The store of a drill: a sandbox in a process of its own, empty but for the products of the snapshot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import requests

from bc_images.errors import FatalError
from bigcommerce_sandbox.constants import DAV_PASSWORD, DAV_USERNAME, STORE_HASH, TOKEN

__all__ = ["DrillStore"]

_TIMEOUT = 60.0  # seconds for one answer; a part of the store is hashed already, so that it takes milliseconds


class DrillStore:
    """A running sandbox; close it in the end. It ends with this process, however that ends.

    Of the pictures that it is sent it keeps digest and size, so that a drill takes no room for them.

    Args:
        products: a file of JSON lines, the products with id, sku and name.
        flags: how the sandbox answers where the behaviour of a real store is disputed.

    Raises:
        FatalError: it did not start.
    """

    def __init__(self, products: Path, flags: Mapping[str, str]) -> None:
        arguments = ["--port", "0", "--products", "0", "--product-list", str(products)]
        arguments += ["--discard-pictures", "--until-stdin-closes"]
        arguments += [f"--flag={name}={value}" for name, value in flags.items()]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bigcommerce_sandbox", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the drill alone, which ends it
        )
        first_line = self._process.stdout.readline().decode() if self._process.stdout is not None else ""
        if not first_line:
            self.close()
            raise FatalError("The sandbox store of the drill did not start: see its message above. Nothing was proved.")
        self.url = first_line.partition(" at ")[2].partition(" ")[0]

    def settings(self, api_version: str) -> dict[str, Any]:
        """Return the settings of a target that restores into this store."""
        return {
            "store_hash": STORE_HASH,
            "access_token": TOKEN,
            "api_url": self.url,
            "store_url": self.url,
            "api_version": api_version,
            "webdav_username": DAV_USERNAME,
            "webdav_password": DAV_PASSWORD,
            # Never by address: that would fetch the picture from the store of the backup, and prove nothing.
            "upload_method": "multipart" if api_version == "v3" else "webdav",
        }

    def images(self, first: int, last: int) -> Iterator[dict[str, Any]]:
        """Yield the images of the products with these ids, as the sandbox holds them: it shares no code with us.

        Raises:
            FatalError: it does not answer.
        """
        try:
            answer = requests.get(f"{self.url}/_sandbox/state", params={"first": first, "last": last}, timeout=_TIMEOUT)
            answer.raise_for_status()
            yield from answer.json()["images"]
        except requests.RequestException as error:
            raise FatalError(
                f"The sandbox store of the drill does not answer ({error}). Nothing was proved."
            ) from error

    def close(self) -> None:
        """End the sandbox."""
        self._process.kill()  # it has nothing to keep
        self._process.communicate()
