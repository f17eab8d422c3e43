"""WebDAV under /dav, with digest authentication, by WsgiDAV: the import directory and its neighbours.

Source: the support page "File Access (WebDAV)"; the folders are the documented roots of a store.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from a2wsgi import WSGIMiddleware
from wsgidav.error_printer import ErrorPrinter
from wsgidav.fs_dav_provider import FilesystemProvider
from wsgidav.http_authenticator import HTTPAuthenticator
from wsgidav.request_resolver import RequestResolver
from wsgidav.wsgidav_app import WsgiDAVApp

from bigcommerce_sandbox.constants import DAV_PASSWORD, DAV_USERNAME
from bigcommerce_sandbox.responses import TEXT, Reply, reply
from bigcommerce_sandbox.state import BytesDiscarded
from bigcommerce_sandbox.uploads import PAINTERS

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Message, Receive, Scope

    from bigcommerce_sandbox.api import StoreContext

PREFIX: Final = "/dav"
IMAGES: Final = "product_images"
FOLDERS: Final = (
    f"{IMAGES}/import",
    f"{IMAGES}/uploaded_images",
    "content",
    "template",
    "exports",
    "import_files",
    "product_downloads",
)


def make_folders(root: Path) -> None:
    """Create the roots that every store has."""
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)


class Dav:
    """The WebDAV application over a directory."""

    def __init__(self, root: Path) -> None:
        make_folders(root)
        config = {
            "provider_mapping": {"/": FilesystemProvider(str(root), fs_opts={})},
            "mount_path": PREFIX,
            "http_authenticator": {"accept_basic": False, "accept_digest": True, "default_to_digest": True},
            "simple_dc": {"user_mapping": {"*": {DAV_USERNAME: {"password": DAV_PASSWORD}}}},
            "middleware_stack": [ErrorPrinter, HTTPAuthenticator, RequestResolver],
            "verbose": 0,
            "logging": {"enable": False},
            "suppress_version_info": True,
        }
        self._app = WSGIMiddleware(WsgiDAVApp(config), workers=8)

    def close(self) -> None:
        """Let the worker threads end."""
        self._app.executor.shutdown(wait=False)

    async def answer(self, scope: Scope, receive: Receive, context: StoreContext) -> Reply:
        """One request, its whole answer collected."""
        path: str = scope["path"]
        parts = path.split("/")
        if parts[2:3] == [IMAGES] and len(parts) > 4 and parts[3] not in ("import", "uploaded_images"):
            if scope["method"] not in ("GET", "HEAD"):
                return reply(501, b"Stored images can only be read in the sandbox's WebDAV.\n", TEXT)
            answer = await self._forward(scope, receive)  # which asks for the user, and has no such file
            if answer.status == 404 and context.flags.dav_originals == "on":
                image_file = "/".join(parts[3:])
                loop = asyncio.get_running_loop()
                try:
                    content = await loop.run_in_executor(PAINTERS, context.state.served_original, image_file)
                except BytesDiscarded:
                    return reply(
                        501, b"This sandbox keeps no pictures: it was started with --discard-pictures.\n", TEXT
                    )
                if content is not None:
                    return reply(200, content, b"application/octet-stream")
            return answer
        return await self._forward(scope, receive)

    async def _forward(self, scope: Scope, receive: Receive) -> Reply:
        start: Message = {"status": 500, "headers": []}
        body: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.append(message.get("body", b""))

        await self._app({**scope, "root_path": PREFIX}, receive, collect)  # type: ignore[arg-type]  # its own TypedDicts
        headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        return Reply(start["status"], b"".join(body), headers)
