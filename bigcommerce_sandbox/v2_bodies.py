"""What a V2 image write sends: its body, its fields, the file that it names.

Sources: v2-product-images.mdx, product-images.v2.yml, v2-conventions-2017.md; the texts of refusals are those that
clients have seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from starlette.datastructures import UploadFile

from bigcommerce_sandbox import media, uploads
from bigcommerce_sandbox.image_rules import INT_MAX, INT_MIN, Fields, Upload
from bigcommerce_sandbox.responses import ApiError, not_emulated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bigcommerce_sandbox.api import Call

READ_ONLY: Final = frozenset(
    {
        "id",
        "product_id",
        "date_created",
        "date_modified",
        "is_sample",
        "zoom_url",
        "standard_url",
        "thumbnail_url",
        "tiny_url",
    }
)
WRITABLE: Final = frozenset({"image_file", "is_thumbnail", "sort_order", "description"})


def invalid(name: str, reason: str) -> ApiError:
    """The 400 of a field whose value is not usable."""
    return ApiError(400, f"The field '{name}' is invalid.", {"invalid_reason": reason})


async def read(call: Call) -> dict[str, object]:
    """The fields of a JSON or (by a flag) multipart body, as they were sent; 501 for XML."""
    kind = call.media_type
    if kind == "multipart/form-data" and call.context.flags.v2_multipart == "on":
        form = await call.form(400)
        return {str(name): value for name, value in form.items()}
    if kind in ("application/xml", "text/xml"):
        raise not_emulated("A request body in XML")
    if kind != "application/json":
        raise ApiError(415, "The Content-Type of the request is missing or is not supported.")
    content = await call.body()
    try:
        data = orjson.loads(content)
    except ValueError as error:
        raise ApiError(400, "The request body could not be parsed.") from error
    if not isinstance(data, dict):
        raise ApiError(400, "The request body must be an object.")
    return data


def _check_name(name: str, value: object) -> None:
    if name in READ_ONLY:
        raise ApiError(
            400, f"The field '{name}' cannot be written to. Please remove it from your request before trying again."
        )
    if name not in WRITABLE:
        raise ApiError(400, f"The field '{name}' is not supported by this resource.")
    if value is None:
        raise ApiError(400, f"The field '{name}' does not allow null values.")


def fields(call: Call, data: Mapping[str, object], *, text: bool) -> Fields:
    """Check all fields but the file; with ``text`` (multipart) numbers and booleans are written out."""
    fields: Fields = {}
    for name, value in data.items():
        _check_name(name, value)
        if name == "is_thumbnail":
            fields["is_thumbnail"] = _thumbnail(value, text=text)
        elif name == "sort_order":
            fields["sort_order"] = _order(call, value, text=text)
        elif name == "description":
            fields["description"] = _description(call, value)
    return fields


def _thumbnail(value: object, *, text: bool) -> bool:
    if text:
        value = {"true": True, "false": False}.get(str(value), value)
    if not isinstance(value, bool):
        raise invalid("is_thumbnail", "It must be a boolean.")
    return value


def _order(call: Call, value: object, *, text: bool) -> int:
    if text and len(str(value)) < 12 and str(value).removeprefix("-").isdecimal():
        value = int(str(value))
    lowest = 0 if call.context.flags.v2_negative_sort_order == "refuse" else INT_MIN
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= INT_MAX:
        raise invalid("sort_order", f"It must be an integer from {lowest} to {INT_MAX}.")
    return max(value, 0) if call.context.flags.v2_negative_sort_order == "zero" else value


def _description(call: Call, value: object) -> str:
    longest = call.context.flags.description_max
    if not isinstance(value, str):
        raise invalid("description", "It must be a string.")
    if longest and len(value) > longest and call.context.flags.description_rewrite != "cut":
        raise invalid("description", f"It must not be longer than {longest} characters.")
    return value


async def upload(call: Call, value: object) -> Upload:
    """The file that ``image_file`` names: a URL, a path below the import directory, or a multipart file."""
    flags = call.context.flags
    if isinstance(value, UploadFile):
        name, content = value.filename or "image", await value.read()
    elif not isinstance(value, str):
        raise invalid("image_file", "It must be a string.")
    elif len(value) > uploads.URL_MAX:
        raise ApiError(400, "The field 'image_file' is invalid.")
    elif uploads.is_url(value):
        try:
            name, content = await uploads.fetch(value, flags)
        except uploads.Unfetchable as error:
            raise invalid(
                "image_file", f"The resource at '{value}' could not be downloaded and may be invalid."
            ) from error
        except uploads.TooLarge as error:
            raise _unusable(value) from error
    else:
        name, content = value.rpartition("/")[2], _imported(call, value)
    try:
        return await uploads.accept(name, content, flags)
    except (uploads.TooLarge, media.NotAPicture) as error:
        raise _unusable(value if isinstance(value, str) else name) from error


def _unusable(value: str) -> ApiError:
    return invalid("image_file", f"The file '{value}' is missing or is not usable by this resource.")


def _imported(call: Call, value: str) -> bytes:
    root = call.context.import_directory
    try:
        path = (root / value).resolve()
        if not value or not path.is_relative_to(root.resolve()):
            raise _unusable(value)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise _unusable(value) from error
