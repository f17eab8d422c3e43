"""What the store serves without a token: originals, the import directory, and renditions."""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING, Final

from bigcommerce_sandbox import media
from bigcommerce_sandbox.constants import STORE_HASH
from bigcommerce_sandbox.responses import TEXT, Header, Reply, reply
from bigcommerce_sandbox.state import LOST_WITH_RENDITIONS, BytesDiscarded
from bigcommerce_sandbox.uploads import PAINTERS

if TYPE_CHECKING:
    from bigcommerce_sandbox.api import StoreContext

ORIGINALS: Final = "/product_images/"
CDN: Final = f"/s-{STORE_HASH}/"
DAV_FOLDERS: Final = ("import", "uploaded_images")
_RENDITION: Final = re.compile(
    r"products/(?P<product>\d{1,18})/images/(?P<image>\d{1,18})/"
    r"(?P<base>[^/]+)\.(?P<when>\d+)\.(?P<width>\d{1,4})\.(?P<height>\d{1,4})\.(?P<ext>\w+)"
)

NOT_FOUND: Final = reply(404, b"Not Found", TEXT)
DISCARDED: Final = reply(501, b"This sandbox keeps no pictures: it was started with --discard-pictures.\n", TEXT)
NOT_EMULATED: Final = reply(501, b"This address is not emulated by the sandbox; see docs/sandbox.md.\n", TEXT)


def _file(content: bytes, kind: str) -> Reply:
    etag: Header = (b"etag", b'"%s"' % hashlib.md5(content, usedforsecurity=False).hexdigest().encode())
    return reply(200, content, kind.encode(), etag)


def _media_type(path: str) -> str:
    return media.MEDIA_TYPES.get(path.rpartition(".")[2].lower(), "application/octet-stream")


def _in_dav(context: StoreContext, path: str) -> bytes | None:
    """A file of the WebDAV folders that are served publicly."""
    root = context.import_directory.parent
    try:
        found = (root / path).resolve()
        return found.read_bytes() if found.is_relative_to(root.resolve()) else None
    except (OSError, ValueError):
        return None


def _original(context: StoreContext, path: str, query: bytes) -> Reply:
    """An original, or a file of a WebDAV folder, as the CDN passes it on."""
    in_dav = path.partition("/")[0] in DAV_FOLDERS
    content = _in_dav(context, path) if in_dav else context.state.served_original(path)
    if content is None:
        return NOT_FOUND
    address = f"{path}?{query.decode('latin-1')}"
    content, kind, headers = context.cdn.serve(
        context.flags.cdn, context.flags.cdn_marks, address, content, _media_type(path)
    )
    answer = _file(content, kind)
    answer.headers += headers
    return answer


def _pictured(context: StoreContext, found: re.Match[str]) -> str | None:
    """The file that a rendition's address shows: the image's present one, or by the flag one that lingers.

    The time stamp in the address is not compared (assumed); of what lingers, nothing but the file name is.
    """
    image = context.state.image(int(found["image"]))
    name = f"{found['base']}.{found['ext']}"
    is_image = image is not None and image.product_id == int(found["product"])
    if image is not None and is_image and image.image_file.rpartition("/")[2] == name:
        return image.image_file
    if context.flags.lingering_renditions == "on":
        query = "SELECT image_file FROM lingering WHERE substr(image_file, -length(?) - 1) = '/' || ?"
        for (image_file,) in context.state.rows(query, (name, name)):
            return str(image_file)
    return None


def _rendition(context: StoreContext, found: re.Match[str]) -> Reply:
    image_file = _pictured(context, found)
    width, height = int(found["width"]), int(found["height"])
    content = context.state.original(image_file) if image_file is not None and width and height else None
    if image_file is not None and context.state.lost(image_file) == LOST_WITH_RENDITIONS:
        content = None
    if content is None:
        return NOT_FOUND
    try:
        return _file(*media.rendition(content, width, height))
    except media.NotAPicture:
        return reply(415, b"This file is not a picture.\n", TEXT)


async def serve(context: StoreContext, method: str, path: str, query: bytes = b"") -> Reply:
    """Answer a request for a file; pictures are drawn and resized outside the event loop."""
    if method not in ("GET", "HEAD"):
        return reply(405, b"Method Not Allowed", TEXT, (b"allow", b"GET, HEAD"))
    loop = asyncio.get_running_loop()
    try:
        for prefix in (ORIGINALS, CDN + ORIGINALS[1:]):
            if path.startswith(prefix):
                return await loop.run_in_executor(PAINTERS, _original, context, path[len(prefix) :], query)
        rendition = _RENDITION.fullmatch(path[len(CDN) :]) if path.startswith(CDN) else None
        if rendition is None:
            return NOT_EMULATED
        return await loop.run_in_executor(PAINTERS, _rendition, context, rendition)
    except BytesDiscarded:
        return DISCARDED
