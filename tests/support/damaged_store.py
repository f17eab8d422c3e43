"""One restore of everything that can be restored, to be cut short or disturbed at each of its requests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bigcommerce_sandbox import SandboxServer
from tests.support.commands import CommandResult
from tests.support.target import ImageState, RestoreScenario, picture

FIRST, SECOND, THIRD, SAME_NAMES = 101, 102, 103, 104  # the seeded products; the images of the last have one name

SLOW_MS = 20


class DamagedStore:
    """A store of four products, always damaged alike, and the restore that mends it.

    One product has lost all its images, one has another picture, text and thumbnail, one has lost an image and got
    one that the backup does not know, and of one whose images have the same name two are lost. The store shifts
    siblings, so that repairs are needed too. A mirror has a product more, of which the backup knows no image.
    """

    def __init__(self, sandbox: SandboxServer, folder: Path, api_version: str, mode: str) -> None:
        self.sandbox = sandbox
        self.mode = mode
        self._saved = RestoreScenario(sandbox, folder / "saved", api_version)
        sandbox.reset(products=4, images=3)
        sandbox.set_flags(sort_order_shift="none")
        self.backup = self._saved.backup()
        self.backup_file = folder / "backup.singer"
        self.backup_file.write_bytes(self.backup)
        self._scenario = self._saved
        self._folder = folder
        self._number = 0
        self.prepare()
        if mode != "mirror":
            shifted = [each for each in self.state()[THIRD] if each[2] == "new"]
            self.wanted = {**self.seeded, THIRD: sorted(self.seeded[THIRD] + shifted)}
        else:
            self.wanted = self.seeded

    def prepare(self) -> None:
        """Begin again: the store as seeded, then damaged; file store and state folder as after the backup."""
        sandbox = self.sandbox
        sandbox.reset()
        sandbox.set_flags(sort_order_shift="shift", slow_ms=SLOW_MS, fault_reset_ms=1, fault_retry_after=0)
        self.seeded = self._saved.state()
        for image in self._saved.images(FIRST):
            sandbox.delete_image(image["id"])
        one, two, three = (image["id"] for image in self._saved.images(SECOND))
        sandbox.set_image(one, description="overwritten")
        sandbox.set_image(two, is_thumbnail=True)
        sandbox.set_image(three, content=picture(99), filename="other.png")
        sandbox.add_image(THIRD, picture(7), "new.png", sort_order=1, is_thumbnail=False, description="new")
        sandbox.delete_image(self._saved.images(THIRD)[0]["id"])
        for image in self._saved.images(SAME_NAMES)[:2]:
            sandbox.delete_image(image["id"])
        if self.mode == "mirror":
            product = sandbox.add_product(sku="NEW")
            for number in (1, 2):
                sandbox.add_image(product, picture(number), f"new-{number}.png")
        self._number += 1
        folder = self._folder / str(self._number)
        shutil.copytree(self._folder / "saved", folder)
        self._scenario = RestoreScenario(sandbox, folder, self._saved.config["api_version"])
        sandbox.clear_requests()

    @property
    def config(self) -> dict[str, Any]:
        return {**self._scenario.config, "mode": self.mode, "max_deletes": 3, "concurrency": 1}

    def run(self) -> CommandResult:
        return self._scenario.restore(self.backup, **self.config)

    def lose_ledger(self) -> None:
        shutil.rmtree(self._scenario.state_dir, ignore_errors=True)

    def state(self) -> dict[int, list[ImageState]]:
        return self._scenario.state()

    def end(self) -> None:
        """Throw away what this run has left on disk."""
        shutil.rmtree(self._scenario.folder)
