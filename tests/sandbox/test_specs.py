"""The official API descriptions, under a fuzzer that reads them.

The descriptions are not part of this project; they are looked for in ``../shared/specs`` beside the checkout. Where
they contradict the official prose, what clients see, or themselves, a correction is made before the run, each with
its reason. Nothing else is left out.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import settings
from schemathesis import BaseSchema, CheckFunction
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from bigcommerce_sandbox import TOKEN, SandboxServer, v3_filters
from tests.support.api_client import picture

SPECS = Path(__file__).parents[3] / "shared" / "specs"
if not SPECS.is_dir():
    pytest.skip(f"the official API descriptions are not at {SPECS}", allow_module_level=True)

URL = "http://127.0.0.1/sample.png"  # stands in the description for the sandbox's own address, known only later
PRODUCT_IDS = [101, 102, 999]  # all that there are, and one that is missing
IMAGE_IDS = [*range(11, 17), 999]

VARIABLE = "TESTS_SPEC_EXAMPLES"
QUICK = 8
EXAMPLES = int(os.environ.get(VARIABLE, QUICK))

bounded = settings(max_examples=EXAMPLES, deadline=None, derandomize=True)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Leaves dates as the text they are in JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load((SPECS / name).read_bytes(), _Loader)
    return found


def describe(response: str) -> dict[str, Any]:
    return {"description": response}


def v2_description() -> dict[str, Any]:
    """product-images.v2.yml, corrected."""
    raw = read("product-images.v2.yml")
    parts = raw["components"]
    # it declares the legacy basic authentication; a token has replaced that since (docs: start/about)
    parts["securitySchemes"] = {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}}
    raw["security"] = [{"token": []}]
    raw["servers"] = [{"url": "/"}]  # its own is no template that can be filled in
    # dates are RFC 2822 in its own examples, which is no `date-time`; descriptions are null in v2-product-images.mdx
    for part in ("ProductImageRead", "ProductImageWrite"):
        for field in parts["schemas"][part]["properties"].values():
            field.pop("format", None)
    answered = copy.deepcopy(parts["schemas"]["ProductImageWrite"])
    answered["properties"]["description"]["nullable"] = True
    parts["schemas"]["ProductImage"]["allOf"][0] = answered
    # XML is not emulated: 501 (test_v2_conventions.py)
    for body in _bodies(raw):
        body.pop("application/xml", None)
    # that fields without a meaning are refused is known from clients
    parts["schemas"]["ProductImageWrite"]["additionalProperties"] = False
    # which ids and files exist is nothing that a description can say; random ones would only ever meet 404 and 400
    parts["parameters"]["ProductIdParam"]["schema"]["enum"] = PRODUCT_IDS
    parts["parameters"]["ProductImageIdParam"]["schema"]["enum"] = IMAGE_IDS
    parts["schemas"]["ProductImageWrite"]["properties"]["image_file"]["enum"] = ["sample.png"]
    for path in raw["paths"].values():
        for method in path.keys() & {"get", "delete"}:
            # it lists no 400 for a parameter of the wrong type, and no 413, which v2-conventions-2017.md has for a
            # limit over the maximum
            path[method]["responses"] |= {"400": describe("bad parameter"), "413": describe("limit too large")}
            for parameter in path[method].get("parameters", ()):
                if parameter["name"] == "limit":
                    parameter["schema"]["maximum"] = 250  # its own prose
        if "get" in path:
            path["get"]["responses"]["204"] = describe("an empty list, as every client sees it")
    return raw


def _bodies(part: Any) -> Iterator[dict[str, Any]]:
    """All ``content`` in a description, of requests and answers."""
    if isinstance(part, dict):
        if isinstance(part.get("content"), dict):
            yield part["content"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _bodies(inner)


V3_PATHS = (
    "/catalog/products",
    "/catalog/products/{product_id}",
    "/catalog/products/{product_id}/images",
    "/catalog/products/{product_id}/images/{image_id}",
)


def v3_description() -> dict[str, Any]:
    """products_catalog.v3.yml, corrected and cut down to what is emulated."""
    raw = read("products_catalog.v3.yml")
    parts, paths = raw["components"], {path: raw["paths"][path] for path in V3_PATHS}
    raw["paths"] = paths
    for path in paths.values():
        # that a request without Accept or Content-Type is refused is said nowhere else
        headers = ("#/components/parameters/Accept", "#/components/parameters/ContentType")
        for part in (path, *(path[method] for method in path.keys() & {"get", "post", "put", "delete"})):
            part["parameters"] = [item for item in part.get("parameters", []) if item.get("$ref") not in headers]
        for method in path.keys() & {"get", "post", "put", "delete"}:
            # errors that its introduction has for every operation, or that clients see
            for status in ("400", "401", "404", "413", "415", "422"):
                path[method]["responses"].setdefault(status, describe("refused"))
    for name in ("IncludeParamGetProducts", "IncludeParamGetProduct"):
        parts["parameters"][name]["schema"] = {"type": "string", "enum": ["images", ""]}
    _leave_out_parameters(paths, parts["parameters"])
    _correct_parameters(parts["parameters"])
    images = paths["/catalog/products/{product_id}/images"]["post"]
    image = paths["/catalog/products/{product_id}/images/{image_id}"]["put"]
    for operation in (images, image):
        # one answer fits both of its alternatives, whose properties are all optional
        data = operation["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["data"]
        data["anyOf"] = data.pop("oneOf")
        multipart = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["allOf"][0]["properties"]
        multipart["image_file"]["format"] = "binary"  # its prose: a file
        multipart["is_thumbnail"] = {"type": "string", "enum": ["0", "1", "true", "false"]}  # written out
        del multipart["date_modified"]  # ignored, see below; and what is no text is sent as text there
    # its prose sends the files of an update by POST
    by_post = {**copy.deepcopy(image), "operationId": "updateProductImageFile"}
    del by_post["requestBody"]["content"]["application/json"]
    paths["/catalog/products/{product_id}/images/{image_id}"]["post"] = by_post
    # its prose has the URL as required
    images["requestBody"]["content"]["application/json"]["schema"]["required"] = ["image_url"]
    properties = parts["schemas"]["productImage_Post_Put"]["allOf"][0]["properties"]
    properties["image_url"]["enum"] = [URL]
    # the date in a request is accepted and ignored (assumed), whatever it is
    parts["schemas"]["productImage_Base"]["properties"]["date_modified"].pop("format")
    return raw


def _list(schema: dict[str, Any]) -> dict[str, Any]:
    """A comma-separated list as the text it is: the fuzzer (4.32) fails on arrays with ``explode: false``."""
    item = "-?[0-9]{1,12}"
    if "enum" in schema["items"]:
        item = "(" + "|".join(schema["items"]["enum"]) + ")?"  # nothing between two commas asks for nothing
    return {"type": "string", "pattern": f"^{item}(,{item}){{0,3}}$"}


def _leave_out_parameters(paths: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Without what is answered with 501 (test_v3_products.py): most filters, and names of other fields."""
    for path in paths.values():
        for part in (path, *(path[method] for method in path.keys() & {"get", "post", "put", "delete"})):
            part["parameters"] = [
                item
                for item in part.get("parameters", [])
                for name in [parameters[item["$ref"].rpartition("/")[2]]["name"] if "$ref" in item else item["name"]]
                if name.partition(":")[0] not in {*v3_filters.NOT_EMULATED, "include_fields"}
            ]


def _correct_parameters(parameters: dict[str, Any]) -> None:
    parameters["ProductIdParam"]["schema"]["enum"] = PRODUCT_IDS
    parameters["ImageIdParam"]["schema"]["enum"] = IMAGE_IDS
    for parameter in parameters.values():
        name, schema = parameter["name"], parameter.get("schema", {})
        if name in ("exclude_fields", "sku:in"):
            # the fields of products are listed for images too; that other names are ignored is assumed
            parameter["schema"] = {"type": "string"}
        elif name == "sort":
            parameter["schema"] = {"type": "string", "enum": ["id"]}
        elif schema.get("type") == "array" and ("enum" in schema["items"] or name.endswith("in")):
            parameter["schema"] = _list(schema)


def load(raw: dict[str, Any], *, left_out: tuple[str, ...] = ()) -> BaseSchema:
    """The description as tests; ``left_out`` are methods that are not tried where the description has none."""
    methods = [name for name in ("get", "put", "post", "delete", "options", "patch", "trace") if name not in left_out]
    settings = {
        "generation": {"with-security-parameters": False},  # every request has the token, but for the check of that
        "phases": {"coverage": {"unexpected-methods": methods}},
        # the fuzzer's own list of refusals lacks 413, which a limit over 250 gets
        "checks": {"negative_data_rejection": {"expected-statuses": ["4XX"]}},
    }
    return schemathesis.openapi.from_dict(raw, config=SchemathesisConfig.from_dict(settings))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(products=2, images=3) as server:
        yield server


def check(case: schemathesis.Case[Any], sandbox: SandboxServer, version: str) -> None:
    """One request to a fresh store, and everything that the description says about its answer."""
    sandbox.reset()
    (sandbox._app.context.import_directory / "sample.png").write_bytes(picture())
    if isinstance(case.body, dict) and case.body.get("image_url") == URL:
        case.body["image_url"] = f"{sandbox.url}/product_images/import/sample.png"
    headers = {"X-Auth-Token": TOKEN, "Accept": "application/json"}
    response = case.call(base_url=f"{sandbox.url}/stores/sandbox/{version}", headers=headers)
    excluded: list[CheckFunction] = []
    if case.media_type == "multipart/form-data":
        excluded.append(positive_data_acceptance)  # a file of random bytes is described as fit, and is no picture
    case.validate_response(response, excluded_checks=excluded)


# v2-conventions-2017.md has 501, not 405, for TRACE and PATCH
v2 = load(v2_description(), left_out=("trace", "patch"))
# writing products is not emulated
v3 = (
    load(v3_description())
    .exclude(path="/catalog/products", method=["POST", "PUT", "DELETE"])
    .exclude(path="/catalog/products/{product_id}", method=["PUT", "DELETE"])
)


@v2.parametrize()
@bounded
def test_v2(case: schemathesis.Case[Any], sandbox: SandboxServer) -> None:
    check(case, sandbox, "v2")


@v3.parametrize()
@bounded
def test_v3(case: schemathesis.Case[Any], sandbox: SandboxServer) -> None:
    check(case, sandbox, "v3")


@pytest.mark.slow
@pytest.mark.skipif(EXAMPLES > QUICK, reason="this is the thorough run already")
def test_thoroughly() -> None:
    """The same with many more examples, in a process of its own: collecting the fuzzer's cases is not free."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, VARIABLE: "150"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stdout[-20_000:]
