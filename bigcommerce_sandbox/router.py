"""From an API request to the reply of its handler: store hash, token, route, method, scope, format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.requests import Request

from bigcommerce_sandbox import v2, v3
from bigcommerce_sandbox.api import KNOWN_TOKENS, READ_METHODS, Call, StoreContext, path_id
from bigcommerce_sandbox.constants import READ_ONLY_TOKEN, STORE_HASH, TOKEN, UNSCOPED_TOKEN
from bigcommerce_sandbox.responses import MEDIA_FORMATS, ApiError, Reply, negotiate, not_emulated

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

    from bigcommerce_sandbox.api import Route, Routes

ROUTES: Final[dict[str, Routes]] = {"v2": v2.ROUTES, "v3": v3.ROUTES}
HEAD: Final = f"/stores/{STORE_HASH}/"
PREFIX: Final = "/stores/"
NEVER: Final = frozenset({"PATCH", "TRACE"})


def _version(path: str) -> str:
    """``v2`` or ``v3`` by the third segment; ``v3`` for anything else."""
    return "v2" if path.split("/", 4)[3:4] == ["v2"] else "v3"


def _authorize(call: Call, token: str) -> None:
    """401 was answered before; here a known token meets a route: 403 without the scope."""
    if token == TOKEN:
        return
    if token == UNSCOPED_TOKEN:
        if call.path != "/time":
            raise ApiError(403, "You don't have a required scope to access the endpoint")
    elif token == READ_ONLY_TOKEN and call.method not in READ_METHODS:
        raise ApiError(403, "You don't have a required scope to access the endpoint")


def _route(call: Call, version: str) -> Route:
    """The route with its ids filled in; 404 for an id that is none, 405, or 501."""
    matched = ROUTES[version].find(call.path)
    if matched is None:
        raise not_emulated(f"{call.method} /{version}{call.path}")
    route, texts = matched
    if call.method not in route.handlers:
        if call.method in route.elsewhere or (version == "v2" and call.method in NEVER):
            raise not_emulated(f"{call.method} /{version}{call.path}")
        allow = (b"allow", route.allow)
        raise ApiError(405, "The requested method is not allowed on this resource.", headers=(allow,))
    for name, text in texts.items():
        number = path_id(text)
        if number is None:
            raise ApiError(404, "The requested resource was not found.", extra={"instance": ""})
        call.ids[name] = number
    return route


def _negotiated(call: Call) -> None:
    """Take the extension off the path; 501 where Accept and extension mean XML, as no choice does too (V2 only)."""
    extension = ""
    for known in ("json", "xml"):
        if call.path.endswith(f".{known}"):
            extension = known
            call.path = call.path[: -len(known) - 1]
    accept = call.headers.get("accept")
    fmt = negotiate(accept, extension)
    if fmt is None:
        raise ApiError(406, f"None of the media types asked for is supported; there are: {', '.join(MEDIA_FORMATS)}.")
    if fmt == "xml":
        raise not_emulated("An answer in XML, V2's choice without 'Accept: application/json' or '.json',")


def _admit(call: Call, version: str) -> None:
    """401, then what the store as a whole does not serve; leaves in ``path`` what follows the version."""
    context, path = call.context, call.path
    if not path.startswith(HEAD) or call.headers.get("x-auth-token", "") not in KNOWN_TOKENS:
        raise ApiError(401, "The credentials are missing or are not valid for this store.")
    call.path = path[len(HEAD) + 2 :]
    if path[len(HEAD) :].partition("/")[0] not in ROUTES:
        raise not_emulated(path)
    if version == "v2" and context.flags.v2_available != "on":
        status = 410 if context.flags.v2_available == "gone" else 404
        raise ApiError(status, "The V2 API is not available.")


async def answer(context: StoreContext, scope: Scope, receive: Receive, *, discard: bool) -> Reply:
    """Answer one API request. Every refusal has the shape of its version."""
    request = Request(scope, receive)
    version = _version(scope["path"])
    call = Call(context, request, request.headers, scope["method"], scope["path"], discard=discard)
    try:
        _admit(call, version)
        if version == "v2":
            _negotiated(call)
        route = _route(call, version)
        _authorize(call, call.headers["x-auth-token"])
        return await route.handlers[call.method](call)
    except ApiError as error:
        refusal = error.with_field_errors(context.flags.field_errors)
        if version == "v2":
            return refusal.as_v2(context.flags.v2_404_shape)
        return refusal.as_v3()
