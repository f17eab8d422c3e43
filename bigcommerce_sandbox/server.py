"""A sandbox on a real socket, in a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bigcommerce_sandbox.admin import Admin
from bigcommerce_sandbox.api import StoreContext
from bigcommerce_sandbox.app import App
from bigcommerce_sandbox.control import Control
from bigcommerce_sandbox.dav import Dav
from bigcommerce_sandbox.faults import Faults
from bigcommerce_sandbox.flags import Flags
from bigcommerce_sandbox.image_rules import Rules
from bigcommerce_sandbox.quota import Quota
from bigcommerce_sandbox.state import BadData, State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

HOST = "127.0.0.1"
GRACE = 5.0  # seconds for requests under way when the server stops; their clients are cut off first


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which lends the application its transport: some faults close the connection."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["state"]["transport"] = self.transport


class _Server(uvicorn.Server):
    """Stops at once when told to, instead of at the next tick, and waits for nobody."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self.ready = Event()

    async def main_loop(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await self.on_tick(0)
        self.ready.set()
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1)
            await self.on_tick(0)  # keeps the Date header right

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=GRACE)
        for listener in sockets or []:
            listener.close()

    def stop(self) -> None:
        """Stop from another thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._stop.set)


class PortUnusable(OSError):
    """Another program has the port, or it may not be taken."""


class SandboxServer(Control):
    """A running sandbox store.

    ``products`` x ``images`` are seeded unless ``data``, a file, holds a store already. ``port`` 0 takes a free
    one. ``product_list`` is a file of further products to seed, one JSON object with id, sku and name a line. Without
    ``keeps_bytes``, digest and size of what is sent are kept, and the bytes are not. ``faults`` is a script for the
    API requests, ``flags`` are those of ``docs/sandbox.md``. Raises `PortUnusable`, `state.BadData`,
    `product_list.BadProductList`, `flags.BadFlag` or `faults.BadScript`.

    The address in ``url`` serves as ``api_url`` and as ``store_url``.
    """

    def __init__(
        self,
        products: int = 10,
        images: int = 3,
        seed: int = 0,
        data: str | Path | None = None,
        port: int = 0,
        latency_ms: int = 0,
        faults: str = "",
        flags: Mapping[str, object] | None = None,
        product_list: str | Path | None = None,
        *,
        keeps_bytes: bool = True,
    ) -> None:
        values = Flags({"latency_ms": latency_ms, **(flags or {})})
        script = Faults()
        self._cleanup = contextlib.ExitStack()
        self._cleanup.callback(script.close)
        try:
            script.script(faults)
            self._listener = self._listen(port)
            self.port: int = self._listener.getsockname()[1]
            self.url = f"http://{HOST}:{self.port}"
            state = State(
                Path(data) if data else None, Path(product_list) if product_list else None, keeps_bytes=keeps_bytes
            )
            self._cleanup.callback(state.close)
            self._build(values, script, state, Path(data) if data else None, (products, images, seed))
        except BaseException:
            self._cleanup.close()
            raise
        self._server: _Server | None = None
        self._thread: Thread | None = None

    def _listen(self, port: int) -> socket.socket:
        listener = self._cleanup.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(2048)
        except OSError as error:
            raise PortUnusable(f"port {port} of {HOST} cannot be used: {error.strerror}") from error
        return listener

    def _build(
        self, flags: Flags, faults: Faults, state: State, data: Path | None, stock: tuple[int, int, int]
    ) -> None:
        if data is None:
            dav_root = Path(tempfile.mkdtemp(prefix="bc-sandbox-"))
            self._cleanup.callback(shutil.rmtree, dav_root, ignore_errors=True)
        else:
            dav_root = data.with_name(data.name + ".dav")
        if state.fresh:
            state.reseed(*stock, flags.picture_bytes, flags.seed_without_images)
        quota, admin = Quota(flags), Admin(self.url)
        try:
            dav = Dav(dav_root)
        except OSError as error:
            raise BadData(f"cannot keep WebDAV files in {dav_root}: {error.strerror}") from error
        self._cleanup.callback(dav.close)
        context = StoreContext(state, flags, Rules(state, flags), dav_root / "product_images" / "import", self.url)
        self._app = App(context, quota, dav, admin.application(), faults)
        super().__init__(self._app, quota, stock)
        admin.attach(self)

    def start(self) -> Self:
        """Begin to serve; returns when requests are answered."""
        config = uvicorn.Config(
            self._app,
            http=Protocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
        )
        self._server = _Server(config)
        self._thread = Thread(target=self._server.run, args=([self._listener],), name="sandbox", daemon=True)
        self._thread.start()
        while not self._server.ready.wait(0.05):
            if not self._thread.is_alive():
                raise RuntimeError("the sandbox could not start")
        return self

    def stop(self) -> None:
        """Stop serving and close the state; connections still open are cut off."""
        if self._server is not None and self._thread is not None:
            self._server.stop()
            self._thread.join()
        self._server = self._thread = None
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
