"""Rows that do not fit the API: one costs itself, and is named; what is only informative is read as null."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bc_images.errors import PartialFailure, StoreSuspended, UnexpectedResponse
from bigcommerce_sandbox import SandboxServer
from tap_bc_images.tap import TapBCImages
from tests.support.commands import CommandResult
from tests.support.invalid_rows import INFORMATION, INVALID, Override
from tests.support.tap import catalog_of, run, settings, stored, sync, written_before

BOTH = ("product_images", "products")


@pytest.fixture(autouse=True)
def _stock(sandbox: SandboxServer) -> None:
    sandbox.reset(products=6, images=3)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


class TestImages:
    @pytest.mark.parametrize("kind", INVALID)
    def test_one_that_cannot_be_a_record_costs_itself(
        self, sandbox: SandboxServer, version: str, caplog: pytest.LogCaptureFixture, kind: str
    ) -> None:
        override, problem = INVALID[kind]
        config, odd = settings(sandbox.url, api_version=version), stored(sandbox)[4]
        sandbox.override("images", odd, **override)
        tap = TapBCImages(config=config, catalog=catalog_of(config, *BOTH))
        output = sync(config, tap=tap)
        assert output.ids() == [each for each in stored(sandbox) if each != odd]
        assert [record["image_count"] for record in output.records("products")] == [3] * 6
        assert [each["stream"] for each in output.of("ACTIVATE_VERSION")] == ["products"]
        assert output.states[-1]["bookmarks"]["product_images"] == {}
        (error,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert error.startswith("Left out, since it is not a valid record: product 102, image ")
        assert problem in error
        assert not warnings(caplog)  # it counts as seen
        with pytest.raises(PartialFailure, match="1 image of the store cannot be read as records") as failed:
            tap.session.require_complete()
        assert problem in str(failed.value)

    @pytest.mark.parametrize("kind", INFORMATION)
    def test_what_is_only_informative_is_read_as_null(
        self, sandbox: SandboxServer, version: str, caplog: pytest.LogCaptureFixture, kind: str
    ) -> None:
        override, problem = INFORMATION[kind]
        odd = stored(sandbox)[4]
        sandbox.override("images", odd, **override)
        output = sync(settings(sandbox.url, api_version=version))
        assert output.ids() == stored(sandbox)
        assert len(output.of("ACTIVATE_VERSION")) == 1
        (warning,) = warnings(caplog)
        assert warning.startswith(f"product 102, image {odd}: ")
        assert problem in warning
        (record,) = [each for each in output.records() if each["id"] == odd]
        (field,) = [name for name in record if f" {name} is " in warning]
        assert record[field] is None

    def test_many_are_not_all_listed(
        self, sandbox: SandboxServer, version: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        sandbox.reset(products=10, images=3)
        for image in stored(sandbox):
            sandbox.override("images", image, url_zoom=1, zoom_url=1)
        assert len(sync(settings(sandbox.url, api_version=version)).records()) == 30
        assert len(warnings(caplog)) == 21
        # V2 reads products side by side, so that it need not be the last.
        assert sum(line.startswith("More values of the store are invalid") for line in warnings(caplog)) == 1

    @pytest.mark.parametrize("field", ["id", "product_id"])
    @pytest.mark.parametrize("value", ["31", 31.5, True, {}])
    def test_ids_of_another_type_end_the_run(
        self, sandbox: SandboxServer, version: str, field: str, value: Any
    ) -> None:
        sandbox.override("images", stored(sandbox)[4], **{field: value})
        with pytest.raises(UnexpectedResponse, match=f"product 102, image .*: {field} is"):
            sync(settings(sandbox.url, api_version=version))

    def test_the_command(self, sandbox: SandboxServer, version: str, tmp_path: Path) -> None:
        for image in stored(sandbox)[3:5]:
            sandbox.override("images", image, sort_order=None)
        ended = run(config=settings(sandbox.url, api_version=version), folder=tmp_path)
        assert ended.code == 1
        assert len(ended.records()) == 16
        assert ended.last_line.startswith(
            "tap-bc-images: 2 images of the store cannot be read as records and were left out, the first of them "
            f"product 102, image {stored(sandbox)[3]}: sort_order is None"
        )


class TestState:
    """Nothing that is left out is skipped for good."""

    def incremental(self, sandbox: SandboxServer, state: Any = None) -> CommandResult:
        config = settings(sandbox.url)
        catalog = catalog_of(config, "product_images", replication_method="INCREMENTAL")
        return sync(config, catalog=catalog, state=state)

    def test_the_bookmark_stays(self, sandbox: SandboxServer) -> None:
        state, odd = self.incremental(sandbox).states[-1], stored(sandbox)[4]
        sandbox.set_image(odd, description="new")
        sandbox.set_image(stored(sandbox)[12], description="new")
        sandbox.override("images", odd, sort_order=None)
        second = self.incremental(sandbox, state)
        assert second.states[-1] == state
        assert odd not in second.ids()
        assert stored(sandbox)[12] in second.ids()
        sandbox.override("images", odd)
        third = self.incremental(sandbox, second.states[-1])
        assert {odd, stored(sandbox)[12]} <= set(third.ids())
        assert third.states[-1] != state

    def test_an_interrupted_full_sync_resumes_before_it(self, sandbox: SandboxServer) -> None:
        sandbox.reset(products=600, images=1)
        products = [product["id"] for product in sandbox.dump(files=False)["products"]]
        odd = stored(sandbox)[300]
        sandbox.override("images", odd, sort_order=None)
        config = settings(sandbox.url, api_version="v2", concurrency=2)
        sandbox.faults("s", f"GET .*/products/{products[580]}/images")
        with pytest.raises(StoreSuspended) as failed:
            sync(config)
        first = written_before(failed.value)
        assert len(first.records()) > 500
        place = first.states[-1]["bookmarks"]["product_images"]["full_table"]["last_product_id"]
        assert place == products[299]
        sandbox.override("images", odd)
        second = sync(config, state=first.states[-1])
        assert odd in second.ids()
        assert {*first.ids(), *second.ids()} == set(stored(sandbox))
        assert len(second.of("ACTIVATE_VERSION")) == 1

    def test_the_next_run_is_complete_again(self, sandbox: SandboxServer, version: str) -> None:
        config, odd = settings(sandbox.url, api_version=version), stored(sandbox)[4]
        sandbox.override("images", odd, image_file="")
        state = sync(config).states[-1]
        sandbox.override("images", odd)
        output = sync(config, state=state)
        assert output.ids() == stored(sandbox)
        assert len(output.of("ACTIVATE_VERSION")) == 1


class TestProducts:
    @pytest.mark.parametrize(
        ("override", "field", "problem"),
        [
            ({"sku": 5}, "sku", "sku is 5, not text or null"),
            ({"sku": ["A"]}, "sku", "sku is ['A'], not text or null"),
            ({"name": 7}, "name", "name is 7, not text or null"),
            ({"date_modified": "soon"}, "date_modified", "date_modified is 'soon', not a date"),
            ({"date_modified": "0000-00-00"}, "date_modified", "date_modified is '0000-00-00', not a date"),
            ({"name": None}, "name", ""),
            ({"sku": None}, "sku", ""),
            ({"missing": ["date_modified"]}, "date_modified", ""),
        ],
    )
    @pytest.mark.parametrize("streams", [BOTH, ("products",)], ids=["both", "products"])
    def test_what_does_not_fit_is_null(
        self,
        sandbox: SandboxServer,
        version: str,
        caplog: pytest.LogCaptureFixture,
        streams: tuple[str, ...],
        override: Override,
        field: str,
        problem: str,
    ) -> None:
        product = sandbox.dump(files=False)["products"][2]
        sandbox.override("products", product["id"], **override)
        config = settings(sandbox.url, api_version=version)
        output = sync(config, catalog=catalog_of(config, *streams))
        (record,) = [each for each in output.records("products") if each["id"] == product["id"]]
        assert record[field] is None
        assert len(output.records("products")) == 6
        assert len(output.of("ACTIVATE_VERSION")) == len(streams)
        assert output.ids() == (stored(sandbox) if len(streams) == 2 else [])
        said = f"product {product['id']}: {problem}. It is read as null: correct it in the store."
        assert warnings(caplog) == ([said] if problem else [])

    @pytest.mark.parametrize("override", [{"images": None}, {"missing": ["images"]}, {"images": {}}], ids=str)
    def test_images_that_are_not_embedded_are_asked_for(self, sandbox: SandboxServer, override: Override) -> None:
        product = sandbox.dump(files=False)["products"][2]["id"]
        sandbox.override("products", product, **override)
        sandbox.clear_requests()
        output = sync(settings(sandbox.url))
        assert output.ids() == stored(sandbox)
        assert len(output.of("ACTIVATE_VERSION")) == 1
        asked = [each["path"] for each in sandbox.requests() if each["path"].endswith("/images")]
        assert asked == [f"/stores/sandbox/v3/catalog/products/{product}/images"]

    @pytest.mark.parametrize("override", [{"id": "3"}, {"id": None}, {"missing": ["id"]}, {"row": "x"}], ids=str)
    def test_without_an_id_the_answer_does_not_fit(
        self, sandbox: SandboxServer, version: str, override: Override
    ) -> None:
        sandbox.override("products", sandbox.dump(files=False)["products"][2]["id"], **override)
        with pytest.raises(UnexpectedResponse, match="Unexpected API response"):
            sync(settings(sandbox.url, api_version=version))
