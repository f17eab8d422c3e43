"""The ASGI application: every request passes the log, the latency, the fault script and the quota."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import ClientDisconnect, Request

from bigcommerce_sandbox import files, guard, router
from bigcommerce_sandbox.constants import STATUS_PAGE
from bigcommerce_sandbox.dav import PREFIX as DAV
from bigcommerce_sandbox.faults import Faults
from bigcommerce_sandbox.overrides import Overrides
from bigcommerce_sandbox.responses import HTML, TEXT, Header, Reply, json_reply, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from bigcommerce_sandbox.api import StoreContext
    from bigcommerce_sandbox.dav import Dav
    from bigcommerce_sandbox.quota import Quota

ADMIN: Final = "/_sandbox"
LOG_LENGTH: Final = 1_000_000


def _problem(status: int, title: str, *headers: Header) -> Reply:
    return json_reply({"status": status, "title": title, "type": STATUS_PAGE}, status, *headers)


def _page(status: int, title: str) -> Reply:
    return reply(status, f"<html><head><title>{title}</title></head><body>{title}</body></html>".encode(), HTML)


class App:
    """Sends each request to the API, the files, WebDAV or the admin routes, and injects the faults of the script."""

    def __init__(self, context: StoreContext, quota: Quota, dav: Dav, admin: ASGIApp, faults: Faults) -> None:
        self.context = context
        self.quota = quota
        self.faults = faults
        self.overrides = Overrides()
        self.log: deque[list[Any]] = deque(maxlen=LOG_LENGTH)
        self._seen = 0
        self._late: deque[tuple[Scope, bytes]] = deque()  # requests whose work is still to be done
        self._loop: asyncio.AbstractEventLoop | None = None  # that serves them
        self._dav = dav
        self._admin = admin

    def clear_log(self) -> None:
        """Forget all logged requests; numbering begins again."""
        self.log.clear()
        self._seen = 0

    @property
    def late_count(self) -> int:
        """How many requests there are whose work is still to be done."""
        return len(self._late)

    def forget_late(self) -> None:
        """Drop the requests whose work is still to be done."""
        self._late.clear()

    def carry_out_late(self) -> int:
        """Do the work that fault ``L`` has put off; returns how many requests that were. Not from the server's thread.

        What is refused by then is dropped: nobody waits for an answer.
        """
        if self._loop is None:
            return 0
        waiting = list(self._late)
        for request in waiting:
            asyncio.run_coroutine_threadsafe(self._finish_late(request), self._loop).result()
        return len(waiting)

    async def _postpone(self, scope: Scope, receive: Receive) -> None:
        self._loop = asyncio.get_running_loop()
        request = (scope, await Request(scope, receive).body())
        self._late.append(request)
        if self.context.flags.late_ms:
            seconds = self.context.flags.late_ms / 1000
            self._loop.call_later(seconds, lambda: asyncio.ensure_future(self._finish_late(request)))

    async def _finish_late(self, request: tuple[Scope, bytes]) -> None:
        """Do the work of a request, if it is still to be done."""
        if request not in self._late:
            return
        self._late.remove(request)
        scope, body = request

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await self._work(scope, receive, api=scope["path"].startswith(router.PREFIX))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        if (error := guard.refusal(scope)) is not None:
            await _send(error, send)
            return
        path: str = scope["path"]
        if path.startswith(ADMIN):
            await self._admin(scope, receive, send)
            return
        method: str = scope["method"]
        self._seen += 1
        has_token = any(name == b"x-auth-token" for name, _ in scope["headers"])
        entry = [self._seen, method, path, scope["query_string"].decode("latin-1"), None, has_token]
        self.log.append(entry)
        if self.context.flags.latency_ms:
            await asyncio.sleep(self.context.flags.latency_ms / 1000)
        api = path.startswith(router.PREFIX)
        code = self.faults.next(f"{method} {path}", api=api)
        try:
            if code == ".":
                answer: Reply | None = await self._work(scope, receive, api=api)
            else:
                answer = await self._inject_fault(code, scope, receive, api=api)
        except ClientDisconnect:  # gone before its body was complete: nothing was done, nobody is waiting
            return
        if answer is None:
            await _hang_up(scope, receive)
            return
        entry[4] = answer.status
        if code == "t":
            await _cut_off(answer, scope, receive, send)
            return
        await _send(answer, send)

    async def _work(self, scope: Scope, receive: Receive, *, api: bool, discard: bool = False) -> Reply:
        """The honest answer; on the API with the rate headers, or 429 when the quota is used up."""
        if not api:
            path: str = scope["path"]
            if path == DAV or path.startswith(DAV + "/"):
                return await self._dav.answer(scope, receive, self.context)
            return await files.serve(self.context, scope["method"], path, scope["query_string"])
        if not self.quota.take():
            answer = _problem(429, "Too many requests")
        else:
            answer = await router.answer(self.context, scope, receive, discard=discard)
            answer = self.overrides.apply(scope["path"], answer)
        return Reply(answer.status, answer.body, answer.headers + self.quota.headers())

    async def _inject_fault(self, code: str, scope: Scope, receive: Receive, *, api: bool) -> Reply | None:
        """The reply of a fault code; None to close the connection without one."""
        flags = self.context.flags
        if code in "wltznoPefC":
            return await self._fault_after_work(code, scope, receive, api=api)
        if code == "p":
            await _until_gone(receive)
        if code == "L":
            await self._postpone(scope, receive)
        if code in "pdL":
            return None
        if code == "Q":
            return _problem(429, "Too many requests")
        if code == "r":
            return _problem(429, "Too many requests", (b"x-retry-after", b"%d" % flags.fault_retry_after))
        if code == "q":
            answer = _problem(429, "Too many requests")
            answer.headers += self.quota.headers(flags.fault_reset_ms)
            return answer
        return self._with_rate(_REPLIES[code](), api=api)

    async def _fault_after_work(self, code: str, scope: Scope, receive: Receive, *, api: bool) -> Reply | None:
        """The same for the codes whose work is done, or seems to be."""
        answer = await self._work(scope, receive, api=api, discard=code in "no")
        if code in "tn":
            return answer
        if code == "o":
            is_of_one = answer.status == 200 and re.search(r"/images/\d+$", scope["path"])
            return await self._work({**scope, "method": "GET"}, receive, api=api) if is_of_one else answer
        if code == "z":
            await asyncio.sleep(self.context.flags.slow_ms / 1000)
            return answer
        if code == "P":
            await _until_gone(receive)
        if code == "C":
            return self._with_rate(_REPLIES["c"](), api=api)
        if code in "ef":
            return self._with_rate(reply(200) if code == "e" else json_reply({"ok": True}), api=api)
        return self._with_rate(_page(504, "504 Gateway Time-out"), api=api) if code == "w" else None

    def _with_rate(self, answer: Reply, *, api: bool) -> Reply:
        if api:
            answer.headers += self.quota.headers()
        return answer


_REPLIES: Final[dict[str, Callable[[], Reply]]] = {
    "5": lambda: _problem(500, "Internal Server Error"),
    "b": lambda: _page(502, "502 Bad Gateway"),
    "s": lambda: _problem(503, "The store is suspended"),
    "u": lambda: reply(503, b"Service Unavailable", TEXT),
    "7": lambda: _problem(507, "The store has reached a limit of its plan"),
    "9": lambda: json_reply([{"status": 509, "message": "The requests-per-hour limit has been reached."}], 509),
    "W": lambda: _page(504, "504 Gateway Time-out"),
    "h": lambda: _page(200, "We will be back soon"),
    "E": lambda: reply(200),
    "c": lambda: _problem(409, "Conflict"),
}


async def _send(answer: Reply, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.all_headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _hang_up(scope: Scope, receive: Receive) -> None:
    """Close the connection without a reply (the transport comes from `server.Protocol`)."""
    scope["state"]["transport"].abort()
    await _until_gone(receive)


async def _cut_off(answer: Reply, scope: Scope, receive: Receive, send: Send) -> None:
    """Send half of the body that Content-Length promises, then close; an empty body is not sent at all."""
    if answer.body:
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.all_headers})
        half = answer.body[: len(answer.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
    scope["state"]["transport"].close()
    await _until_gone(receive)
