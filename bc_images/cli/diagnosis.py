"""Checks what a run needs: store, token, quota, clock, pictures, WebDAV, file store, room. Nothing is changed."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import requests

from bc_images.bigcommerce import StoreClient, open_store
from bc_images.bigcommerce.session import DigestAuth, session
from bc_images.errors import AuthError, BcImagesError, NotFound, RequestRejected
from bc_images.files import FileStore, open_files
from bc_images.files.http_download import HttpDownloader
from bc_images.files.layout import TEMPORARY
from bc_images.files.originals import Originals
from bc_images.redaction import redact
from bc_images.settings import Settings
from bc_images.text import byte_size, counted, printable

__all__ = ["Check", "file_store_checks", "guarded", "room_checks", "store_checks", "webdav_checks"]

Sign = Literal["+", "~", "!"]

_NOBODY = 2**31 - 1  # an id that no product and no image has
_CLOCK = 60  # seconds that two clocks may differ
_ROOM = 10**9  # bytes: less is worth a look
_SAMPLED = 20  # products among which one with an image is looked for


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked: ``+`` good, ``~`` worth a look, ``!`` a run fails by it."""

    name: str
    sign: Sign
    text: str

    def __str__(self) -> str:
        return printable(redact(f"{self.sign} {self.name:<12} {self.text}"))


def store_checks(settings: Settings) -> Iterator[Check]:
    """Check the API, the token's scope, the quota, the clock, and one picture."""
    with closing(open_store(settings)) as store:
        try:
            products = store.count_products()
        except BcImagesError as error:
            yield Check("store", "!", str(error))
            return
        yield Check("store", "+", f"{counted(products, 'product')} by API {settings.api_version} of {settings.api_url}")
        yield _scope(store)
        left = store.quota_left
        yield Check("quota", "+", "the store does not say" if left is None else f"{counted(left, 'request')} left now")
        apart = abs(store.now() - time.time())
        text = f"the store's and this machine's are {apart:.0f} s apart"
        yield Check("clock", "+" if apart < _CLOCK else "~", text)
        try:
            yield _picture(settings, store, products)
        except BcImagesError as error:
            yield Check("picture", "!", str(error))


def _scope(store: StoreClient) -> Check:
    """Find out whether the token may write, by a change of no field of an image that does not exist."""
    try:
        store.update(_NOBODY, _NOBODY, {})
    except NotFound:
        return Check("token", "+", "reads and writes: good for backups and restores")
    except AuthError:
        return Check("token", "~", "reads only: good for backups; a restore needs the scope store_v2_products")
    except RequestRejected as error:
        return Check("token", "~", f"reads; whether it writes is unknown: {error}")
    except BcImagesError as error:
        return Check("token", "!", str(error))
    return Check("token", "~", "reads; whether it writes is unknown, since the store changes what does not exist")


def _picture(settings: Settings, store: StoreClient, products: int) -> Check:
    """Read the original of one image, as a backup does."""
    for position in range(min(products, _SAMPLED)):
        product_id = store.product_id_at(position)
        images = store.images(product_id) if product_id is not None else []
        if not images:
            continue
        path = images[0]["image_file"]
        with closing(HttpDownloader(settings)) as http:
            look = Originals(settings, http).look(path)
        if look.state == "read":
            return Check("picture", "+", f"{path} is served as the store has it")
        if look.state == "altered":
            return Check("picture", "~", f"{path} is re-encoded by a CDN: set webdav_username and webdav_password")
        return Check("picture", "!", f"{path} is {look.state}{f': {look.reason}' if look.reason else ''}")
    return Check("picture", "~", f"no image among the first {counted(min(products, _SAMPLED), 'product')}")


def webdav_checks(settings: Settings) -> Iterator[Check]:
    """Check user and password of WebDAV, by listing one folder."""
    if not (settings.webdav_username and settings.webdav_password):
        yield Check("webdav", "+", "not set: only needed for API v2, or where a CDN alters pictures")
        return
    url = f"{settings.store_url}/dav/product_images/"
    auth = DigestAuth(settings.webdav_username, settings.webdav_password)
    try:
        with session(settings, 1) as http:
            answer = http.request(
                "PROPFIND", url, auth=auth, headers={"Depth": "0"}, timeout=settings.request_timeout, stream=True
            )
            status = answer.status_code
            answer.close()
    except (requests.RequestException, OSError) as error:
        yield Check("webdav", "!", f"{url} cannot be reached ({type(error).__name__}): check store_url and the network")
        return
    if status in {401, 403}:
        yield Check("webdav", "!", f"{url} refuses webdav_username or webdav_password (HTTP {status})")
    elif status >= 300:
        yield Check("webdav", "!", f"{url} answers HTTP {status}: check store_url")
    else:
        yield Check("webdav", "+", f"{url} takes user and password")


def file_store_checks(url: str) -> Iterator[Check]:
    """List the file store, write an object into it, read it back and remove it; compare its clock with ours."""
    try:
        with closing(open_files(url, writable=True)) as files:
            files.probe()
            yield from _written_and_read(files)
    except BcImagesError as error:
        yield Check("file store", "!", str(error))


def _written_and_read(files: FileStore) -> Iterator[Check]:
    backend = files.backend
    content = secrets.token_bytes(32)
    key = f"{TEMPORARY}/doctor-{content.hex()[:16]}"  # where later runs clean up, should this one be killed
    try:
        with backend.begin(private=True) as upload:
            upload.write(content)
            upload.commit(key, len(content))
        is_same = b"".join(backend.chunks(key)) == content
        modified = backend.modified(key)
    except OSError as error:
        yield Check("file store", "!", f"{files.display_name} does not give back what was written: {error}")
        return
    finally:
        backend.remove(key)
    if not is_same:
        yield Check("file store", "!", f"{files.display_name} gives back other bytes than were written")
        return
    yield Check("file store", "+", f"{files.display_name} lists, writes, reads and removes")
    if modified is not None:
        apart = abs(modified - time.time())
        text = f"the file store's and this machine's are {apart:.0f} s apart"
        yield Check("clock", "+" if apart < _CLOCK else "~", text)


def room_checks(places: dict[str, str]) -> Iterator[Check]:
    """Say how much room is left in folders, by what they are for; an address of a bucket has no end."""
    for name, place in places.items():
        if "://" in place:
            continue
        folder = Path(place).expanduser().absolute()
        existing = next((each for each in (folder, *folder.parents) if each.is_dir()), None)
        if existing is None:
            continue
        free = shutil.disk_usage(existing).free
        yield Check("room", "+" if free >= _ROOM else "~", f"{byte_size(free)} free for {name} ({folder})")


def guarded(name: str, run: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """Yield checks; an error of ours that ends them is one, too."""
    try:
        yield from run()
    except BcImagesError as error:
        yield Check(name, "!", str(error))
