"""The admin routes under /_sandbox/: `Control` over HTTP, for a sandbox that runs as a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Mount, Route

from bigcommerce_sandbox.app import ADMIN
from bigcommerce_sandbox.constants import STORE_HASH
from bigcommerce_sandbox.control import BadControl
from bigcommerce_sandbox.faults import BadScript
from bigcommerce_sandbox.flags import BadFlag
from bigcommerce_sandbox.state import BytesDiscarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from bigcommerce_sandbox.control import Control


def _json(data: object, status: int = 200) -> Response:
    return Response(orjson.dumps(data), status, media_type="application/json")


async def _refuse(_: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 400)


async def _object(request: Request) -> dict[str, Any]:
    """A JSON object in the body; an empty body is an empty object."""
    try:
        data = orjson.loads(await request.body() or b"{}")
    except orjson.JSONDecodeError as error:
        raise BadControl(f"the body is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadControl("the body must be a JSON object")
    return data


def _query(request: Request) -> dict[str, Any]:
    """Image fields of a query string, in their own types."""
    fields: dict[str, Any] = dict(request.query_params)
    if "is_thumbnail" in fields:
        fields["is_thumbnail"] = {"true": True, "false": False}.get(fields["is_thumbnail"], fields["is_thumbnail"])
    if fields.get("sort_order", "").lstrip("-").isdecimal():
        fields["sort_order"] = int(fields["sort_order"])
    return fields


class Admin:
    """Builds the admin application."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._control: Control

    def attach(self, control: Control) -> None:
        """Set what the routes act on."""
        self._control = control

    def application(self) -> Starlette:
        """The routes; errors of the caller are 400 with an ``error`` text."""
        routes = [
            Route("/", self._info),
            Route("/state", self._state),
            Route("/reset", self._reset, methods=["POST"]),
            Route("/faults", self._faults, methods=["GET", "POST"]),
            Route("/late", self._carry_out_late, methods=["POST"]),
            Route("/flags", self._flags, methods=["GET", "POST"]),
            Route("/quota", self._quota, methods=["POST"]),
            Route("/overrides", self._overrides),
            Route("/overrides/{kind}/{number:int}", self._override, methods=["PUT"]),
            Route("/requests", self._requests, methods=["GET", "DELETE"]),
            Route("/products", self._add_product, methods=["POST"]),
            Route("/products/{product_id:int}", self._delete_product, methods=["DELETE"]),
            Route("/products/{product_id:int}/images", self._add_image, methods=["POST"]),
            Route("/images/{image_id:int}", self._image, methods=["PATCH", "DELETE"]),
            Route("/images/{image_id:int}/file", self._lose_file, methods=["DELETE"]),
        ]
        handlers: dict[Any, Any] = dict.fromkeys((BadControl, BadScript, BadFlag, BytesDiscarded), _refuse)
        return Starlette(routes=[Mount(ADMIN, routes=routes)], exception_handlers=handlers)

    async def _call(self, function: Callable[..., Any], *args: Any, **fields: Any) -> Any:
        """Run a control in a thread: some take their time, and the API must go on answering."""
        try:
            return await run_in_threadpool(function, *args, **fields)
        except (TypeError, OverflowError) as error:
            raise BadControl(str(error)) from error

    async def _info(self, _: Request) -> Response:
        return _json({"sandbox": True, "url": self._url, "store_hash": STORE_HASH})

    async def _state(self, request: Request) -> Response:
        query = request.query_params
        try:
            between = {name: int(query[name]) for name in ("first", "last") if name in query}
        except ValueError as error:
            raise BadControl(f"first and last are product ids: {error}") from error
        return _json(await self._call(self._control.dump, files=query.get("files") != "0", **between))

    async def _reset(self, request: Request) -> Response:
        await self._call(self._control.reset, **await _object(request))
        return _json({})

    async def _faults(self, request: Request) -> Response:
        if request.method == "POST":
            body = await _object(request)
            if not isinstance(body.get("script"), str) or not isinstance(body.get("match"), str | None):
                raise BadControl("faults need a text 'script' and perhaps a text 'match'")
            self._control.faults(body["script"], body.get("match"))
        return _json(self._control.fault_scripts())

    async def _carry_out_late(self, _: Request) -> Response:
        return _json({"done": await self._call(self._control.carry_out_late)})

    async def _flags(self, request: Request) -> Response:
        return _json(self._control.set_flags(**(await _object(request) if request.method == "POST" else {})))

    async def _quota(self, request: Request) -> Response:
        units = (await _object(request)).get("consume")
        if not isinstance(units, int):
            raise BadControl("quota needs an integer 'consume'")
        return _json({"left": self._control.consume_quota(units)})

    async def _overrides(self, _: Request) -> Response:
        return _json(self._control.overrides())

    async def _override(self, request: Request) -> Response:
        body = await _object(request)
        if wrong := body.keys() - {"values", "missing", "row"}:
            raise BadControl(f"an override has 'values' and 'missing', or 'row', not {min(wrong)!r}")
        values, missing = body.get("values", {}), body.get("missing", [])
        if not isinstance(values, dict) or not isinstance(missing, list):
            raise BadControl("an override needs an object 'values' and a list 'missing'")
        row = {"row": body["row"]} if "row" in body else {}
        where = request.path_params["kind"], request.path_params["number"]
        await self._call(self._control.override, *where, missing=missing, **values, **row)
        return Response(status_code=204)

    async def _requests(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._control.clear_requests()
        return _json(self._control.requests())

    async def _add_product(self, request: Request) -> Response:
        return _json({"id": await self._call(self._control.add_product, **await _object(request))}, 201)

    async def _delete_product(self, request: Request) -> Response:
        await self._call(self._control.delete_product, request.path_params["product_id"])
        return Response(status_code=204)

    async def _add_image(self, request: Request) -> Response:
        fields = _query(request)
        filename = fields.pop("filename", "image.jpg")
        product_id = request.path_params["product_id"]
        content = await request.body()
        return _json({"id": await self._call(self._control.add_image, product_id, content, filename, **fields)}, 201)

    async def _image(self, request: Request) -> Response:
        image_id = request.path_params["image_id"]
        if request.method == "DELETE":
            await self._call(self._control.delete_image, image_id)
        else:
            await self._call(self._control.set_image, image_id, **await _object(request))
        return Response(status_code=204)

    async def _lose_file(self, request: Request) -> Response:
        renditions = request.query_params.get("renditions") == "1"
        await self._call(self._control.lose_file, request.path_params["image_id"], renditions=renditions)
        return Response(status_code=204)
