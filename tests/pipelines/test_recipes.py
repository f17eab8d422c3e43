"""The recipes of the documentation, run as they stand there; only what is the reader's own is filled in."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml

from bigcommerce_sandbox import STORE_HASH, TOKEN, SandboxServer
from tests.support import s3
from tests.support.api_client import picture
from tests.support.environments import meltano, plugins
from tests.support.meltano_project import Project
from tests.support.postgres import Postgres
from tests.support.project import ROOT
from tests.support.stores import looks, wreck, writes

RECIPES: dict[str, str] = {
    name: text
    for page in ("README.md", "docs/recipes.md", "docs/pipelines.md")
    for name, text in re.findall(
        r"^<!-- recipe: (\S+) -->\n```\w+\n(.*?)^```$",
        (ROOT / page).read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
}
DAY = 86_400


def test_every_recipe_is_run() -> None:
    tests = (Path(__file__), ROOT / "tests" / "airbyte" / "test_pyairbyte.py")
    pasted = re.findall(r'"([a-z0-9-]+)"', "".join(path.read_text(encoding="utf-8") for path in tests))
    assert RECIPES.keys() - {*pasted} == set()
    assert len(RECIPES) > 20


def recipe(name: str, yours: Mapping[str, str] | None = None) -> str:
    """Return a recipe with what is the reader's own in place of what stands there."""
    text = RECIPES[name]
    for placeholder, value in (yours or {}).items():
        assert placeholder in text, f"{placeholder} is not in {name}"
        text = text.replace(placeholder, value)
    return text


class Reader:
    """Somebody who pastes recipes into a shell in the folder of the project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        path = f"{meltano().parent}:{project.environment['PATH']}"
        self.environment = {**project.environment, "PATH": path}
        self.paste("settings", {"abc123": STORE_HASH, "replace-me": TOKEN})

    def paste(self, name: str, yours: Mapping[str, str] | None = None, *, code: int = 0) -> str:
        return self.type(recipe(name, yours), code=code)

    def type(self, script: str, *, code: int = 0) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.project.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{script}\nended with {done.returncode}:\n{done.stdout}"
        assert TOKEN not in done.stdout
        return done.stdout

    def back_up(self) -> None:
        self.type("meltano --environment=prod run backup")


@pytest.fixture
def reader(project: Project) -> Reader:
    return Reader(project)


@pytest.mark.slow
def test_a_warehouse_every_night_and_its_sql(
    with_postgres: Project, store: SandboxServer, warehouse: Postgres, tmp_path: Path
) -> None:
    reader = Reader(with_postgres)
    images = store.dump(files=False)["images"]
    for number, image in enumerate(images):
        store.set_image(image["id"], date_modified=int(time.time()) - (number % 3) * DAY - number)
    bald, untidy, large = (each["product_id"] for each in (images[0], images[3], images[6]))
    for image in images:
        if image["product_id"] == bald:
            store.set_image(image["id"], is_thumbnail=False)
        if image["product_id"] == untidy:
            store.set_image(image["id"], sort_order=7)
    for number in range(3):
        store.add_image(large, picture(size=(9, 9 + number)), "more.png")

    reader.paste("warehouse")
    reader.type("meltano --environment=prod run warehouse-duckdb")
    warehouse.psql(recipe("views"))
    in_duckdb = duckdb(with_postgres.folder)
    in_duckdb(recipe("duckdb-views"))
    for name, wanted in answers(store).items():
        assert wanted, f"{name} is asked for what is not there"
        for ask in (warehouse.rows, in_duckdb):
            rows = ask(recipe(name).rstrip().rstrip(";"))
            # An empty SKU is none to DuckDB's loader.
            found = [tuple(None if value == "" else value for value in row.values())[: len(wanted[0])] for row in rows]
            assert found == wanted, name
    assert {row[0] for row in answers(store)["products-without-a-thumbnail"]} == {bald}

    # The next night, by cron.
    gone = images[12]
    store.delete_image(gone["id"])
    mailto, *jobs = recipe("crontab", {"/opt/meltano/bin": str(meltano().parent)}).splitlines()
    assert mailto.startswith("MAILTO=")
    assert [job.split()[:5] for job in jobs] == [["0", hour, "*", "*", "*"] for hour in ("2", "3")]
    for job in jobs:
        command = job.split(maxsplit=5)[5]
        assert reader.type(command.replace("/srv/bc-images", str(with_postgres.folder))) == "", "cron mails nothing"
        assert "has failed" in reader.type(command.replace("/srv/bc-images", "/nowhere"))
    assert len(with_postgres.archives()) == 1
    rows = warehouse.rows(recipe("gone-since-yesterday").rstrip().rstrip(";"))
    assert [(row["product_id"], row["id"]) for row in rows] == [(gone["product_id"], gone["id"])]

    metrics = [json.loads(line) for line in reader.paste("metrics").splitlines()]
    assert {each["plugin"] for each in metrics} == {"tap-bc-images"}
    values = {(each["metric"], each["tags"]["stream"]): each["value"] for each in metrics}
    content = store.dump(files=False)
    assert values["record_count", "product_images"] == len(content["images"])
    assert values["record_count", "products"] == len(content["products"])
    assert values["sync_duration", "product_images"] > 0


def answers(store: SandboxServer) -> dict[str, list[tuple[Any, ...]]]:
    """What the SQL has to find, each answer's first columns."""
    content = store.dump(files=False)
    images, skus = content["images"], {each["id"]: each["sku"] or None for each in content["products"]}
    sizes = Counter(each["product_id"] for each in images)
    orders = Counter((each["product_id"], each["sort_order"]) for each in images)
    shown = {each["product_id"] for each in images if each["is_thumbnail"]}
    moment = itemgetter("date_modified", "id")
    midday = datetime.fromtimestamp(time.time() - DAY / 2, UTC).isoformat()
    new = sorted((each for each in images if each["date_modified"] > midday), key=moment)
    largest = sorted(sizes, key=lambda product: (-sizes[product], product))[:20]
    return {
        "products-without-an-image": [(each, skus[each]) for each in sorted(skus) if each not in sizes],
        "products-without-a-thumbnail": [(each, skus[each], sizes[each]) for each in sorted(sizes.keys() - shown)],
        "duplicate-orders": [(*place, count) for place, count in sorted(orders.items()) if count > 1],
        "largest-galleries": [(each, skus[each], sizes[each]) for each in largest],
        "changed-since-yesterday": [(each["product_id"], each["id"], each["image_file"]) for each in new],
    }


def duckdb(folder: Path) -> Callable[[str], list[dict[str, Any]]]:
    """Return what asks warehouse.duckdb, by the DuckDB that wrote it."""
    python = plugins() / "loaders" / "target-duckdb" / "venv" / "bin" / "python"
    script = """
import duckdb, json, sys
with duckdb.connect("warehouse.duckdb") as database:
    found = database.sql(sys.stdin.read())
    rows = [dict(zip(found.columns, row)) for row in found.fetchall()] if found else []
print(json.dumps(rows, default=str))
"""

    def ask(sql: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            [python, "-c", script], input=sql, cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    return ask


@pytest.mark.slow
def test_shards_and_their_deletions(tmp_path: Path, warehouse: Postgres) -> None:
    """After a night that failed when a shard had left a STATE behind, as it does every 250 products."""
    with SandboxServer(products=1000, images=1) as store:
        settings = {
            **warehouse.settings("target-postgres"),
            "TAP_BC_IMAGES__SELECT": '["product_images.*", "products.*"]',
            "TAP_BC_IMAGES_CONCURRENCY": "1",
        }
        reader = Reader(Project(tmp_path / "project", store.url, settings))
        invoke = "meltano --environment=prod invoke tap-bc-images:shards --count 2 2>/dev/null"
        first, last = json.loads(reader.type(invoke))
        yours = {"25000": str(first["product_id_max"]), "25001": str(last["product_id_min"])}
        store.faults(".s", match="/v3/catalog/products")
        reader.paste("shards", yours, code=1)
        assert warehouse.value("SELECT count(*) FROM raw.product_images") == 250
        store.faults("")

        gone = store.dump(files=False)["images"][5]["id"]
        store.delete_image(gone)
        began = warehouse.value("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')")
        reader.paste("shards", yours)
    warehouse.psql(OF_EARLIER_NIGHTS)

    def mark(before: str) -> None:
        warehouse.psql(recipe("mark-deleted", {"abc123": STORE_HASH, "2025-01-31 02:00:00": before}))

    def marked(table: str) -> list[tuple[str, int]]:
        rows = warehouse.rows(f"SELECT store_hash, id FROM raw.{table} WHERE _sdc_deleted_at IS NOT NULL")
        return [(row["store_hash"], row["id"]) for row in rows]

    mark(began)
    assert marked("product_images") == [(STORE_HASH, gone)]
    assert marked("products") == [(STORE_HASH, 1)]
    mark("2100-01-01")
    assert len(marked("products")) == 1, "where products are loaded no more, they have not all left the store"
    warehouse.psql("DROP TABLE raw.products")
    mark(began)


OF_EARLIER_NIGHTS = """
INSERT INTO raw.products (store_hash, id, _sdc_extracted_at) VALUES
  ('sandbox', 1, '2025-01-01'), ('another', 1, '2025-01-01');
INSERT INTO raw.product_images (store_hash, id, product_id, _sdc_extracted_at) VALUES
  ('another', 1, 1, '2025-01-01'), ('another', 2, 1, '2100-01-01');
"""


@pytest.fixture
def bucket() -> Iterator[tuple[str, dict[str, str]]]:
    """A bucket of one's own, and the environment that leads to it."""
    with s3.server() as address:
        there = {"endpoint_url": address, "key": "key", "secret": "secret"}
        fsspec.filesystem("s3", **there).mkdir("my-backups")
        yield "my-backups", {**s3.environment(address)}
        fsspec.filesystem("s3", **there).rm("my-backups", recursive=True)


@pytest.mark.slow
def test_a_backup_to_s3(tmp_path: Path, store: SandboxServer, bucket: tuple[str, dict[str, str]]) -> None:
    name, environment = bucket
    reader = Reader(Project(tmp_path / "project", store.url, environment, installed=False))
    for _ in range(2):  # pasted twice, it does no harm
        assert "0 differences" in reader.paste("backup-to-s3")
    assert reader.paste("freshness") == ""
    there = fsspec.filesystem(
        "s3", endpoint_url=environment["AWS_ENDPOINT_URL"], key="key", secret="secret", use_listings_cache=False
    )
    digests = {image["sha256"] for image in store.dump()["images"]}
    assert {path.rpartition("/")[2] for path in there.find(f"{name}/shop/sha256")} == digests
    assert len(there.find(f"{name}/shop/archives/store")) == 4, "two snapshots and their manifests"
    assert not (reader.project.folder / "output" / "files").exists()


@pytest.mark.slow
def test_after_a_bad_import(reader: Reader, store: SandboxServer) -> None:
    before = looks(store)
    reader.back_up()
    assert reader.paste("freshness") == ""
    wreck(store, seed=5)
    victim = store.dump(files=False)["images"][0]["product_id"]
    for number in range(3):
        store.add_image(victim, picture(size=(12, 12 + number)), "imported.png")
    wrecked = looks(store)

    store.clear_requests()
    plan = [json.loads(line) for line in reader.paste("bad-import-plan").splitlines() if line.startswith("{")]
    assert {"create", "update", "replace"} <= {line["action"] for line in plan if "action" in line}
    assert not writes(store)
    reader.paste("bad-import-restore")
    assert before - looks(store) == Counter()
    assert sum((looks(store) - before).values()) == 3
    assert json.loads(reader.paste("summary"))["failed"] == 0
    reader.paste("bad-import-mirror")
    assert looks(store) == before
    assert "0 corrupt, 0 missing" in reader.paste("health")

    # Back again: first the mirror, then what it went over.
    reader.paste("undo")
    assert sum((looks(store) - before).values()) == 3
    (reader.project.folder / ".bc_images").rename(reader.project.folder / "of-the-undo")
    first = min((reader.project.folder / "of-the-undo").glob("undo-*.singer"))
    (reader.project.folder / ".bc_images").mkdir()
    first.rename(reader.project.folder / ".bc_images" / first.name)
    reader.paste("undo")
    assert looks(store) == wrecked


@pytest.mark.slow
def test_one_product_as_it_was(reader: Reader, store: SandboxServer) -> None:
    before = looks(store)
    reader.back_up()
    (old,) = reader.project.archives()
    old.rename(old.with_name("20250131T020000Z.singer.gz"))
    assert "no backup since yesterday" in reader.paste("freshness")
    wreck(store)
    damaged = looks(store)
    reader.back_up()
    victim = min(before - damaged, key=str)[0]
    reader.paste("point-in-time", {"2025-01-31": "2025-02-01", "102": str(victim)})
    after = looks(store)
    assert {key for key in before if key[0] == victim} <= {key for key in after if key[0] == victim}
    assert {key for key in after if key[0] != victim} == {key for key in damaged if key[0] != victim}


@pytest.mark.slow
def test_what_failed_is_gone_over(reader: Reader, store: SandboxServer) -> None:
    before = looks(store)
    reader.back_up()
    wreck(store)
    store.faults("....s", match="(POST|PUT) .*/images")
    output = reader.paste("retry")
    assert "suspended" in output
    assert looks(store) == before


@pytest.mark.slow
def test_a_staging_copy(reader: Reader, store: SandboxServer) -> None:
    """The sandbox knows one store hash: a stream map gives the shop another one than its copy has."""
    reader.environment["TAP_BC_IMAGES__BACKUP_STREAM_MAPS"] = json.dumps({"product_images": {"store_hash": "'shop'"}})
    with SandboxServer(products=0) as staging:
        for product in reversed(store.dump(files=False)["products"]):
            if product["sku"]:
                staging.add_product(sku=product["sku"])
            else:
                store.delete_product(product["id"])
        reader.environment["TARGET_BC_IMAGES_API_URL"] = staging.url
        reader.environment["TARGET_BC_IMAGES_STORE_URL"] = staging.url
        # As it stands on the reader's disk: the target is the shop itself, unless what is exported goes before it.
        settings = recipe("settings").splitlines(keepends=True)
        shop = "".join(line for line in settings if line.startswith("TARGET_BC_IMAGES_"))
        with (reader.project.folder / ".env").open("a") as file:
            file.write(shop)
        for again in (False, True):
            staging.clear_requests()
            reader.paste("staging", {"staging1": STORE_HASH, "replace-me-too": TOKEN})
            assert by_sku(staging) == by_sku(store)
            assert bool(writes(staging)) is not again


def by_sku(store: SandboxServer) -> Counter[tuple[object, ...]]:
    skus = {each["id"]: each["sku"] for each in store.dump(files=False)["products"]}
    return Counter({(skus[product], *rest): count for (product, *rest), count in looks(store).items()})


@pytest.mark.slow
def test_the_readme_in_meltano(reader: Reader, store: SandboxServer) -> None:
    """With nothing set, and with some damage between the backup and the plan."""
    (reader.project.folder / ".env").unlink()
    before = looks(store)
    first, then = re.split(r"(?<=run backup)(?= )", recipe("meltano"))
    reader.type(first)
    wreck(store)
    assert looks(store) != before
    output = reader.type(then)
    assert looks(store) == before
    assert "0 differences" in output
    assert "nightly-backup" in output
    (rows,) = duckdb(reader.project.folder)("SELECT count(*) AS count FROM raw.product_images")
    assert rows["count"] == before.total()


@pytest.mark.slow
def test_an_environment_for_each_store(tmp_path: Path, warehouse: Postgres) -> None:
    """One table for all: none speaks for the whole table, but each backup is whole.

    Every sandbox has the same hash, so that a stream map tells them apart.
    """
    project = Project(tmp_path / "project", "http://127.0.0.1:9", warehouse.settings("target-postgres"))
    reader = Reader(project)  # whose .env speaks of another store: that has to give way
    counts, environments = {}, []
    with ExitStack() as running:
        for shop, store_hash, products in (("shop1", "abc123", 5), ("shop2", "def456", 7)):
            store = running.enter_context(SandboxServer(products=products, images=2))
            (theirs,) = (each for each in yaml.safe_load(recipe("stores"))["environments"] if each["name"] == shop)
            assert (
                theirs["env"]["TAP_BC_IMAGES_STORE_HASH"] == theirs["env"]["TARGET_BC_IMAGES_STORE_HASH"] == store_hash
            )
            maps = {"product_images": {"store_hash": f"'{store_hash}'"}}
            theirs["env"] |= {
                "TAP_BC_IMAGES_STORE_HASH": STORE_HASH,
                "TAP_BC_IMAGES_API_URL": store.url,
                "TAP_BC_IMAGES_STORE_URL": store.url,
                "TAP_BC_IMAGES_STREAM_MAPS": json.dumps(maps),
                "BC_IMAGES_FILE_STORE": theirs["env"]["BC_IMAGES_FILE_STORE"].replace("s3://my-backups", "output"),
            }
            environments.append(theirs)
            counts[store_hash] = products * 2
        own = yaml.safe_load((project.folder / "meltano.yml").read_text())
        own["environments"] += environments
        (project.folder / "meltano.yml").write_text(yaml.safe_dump(own, sort_keys=False))
        for name in ("TAP_BC_IMAGES_STORE_HASH", "TAP_BC_IMAGES_ACCESS_TOKEN"):
            reader.environment[name] = "of-another-store"
        reader.environment["SHOP1_TOKEN"] = TOKEN
        with (project.folder / ".env").open("a") as file:
            file.write(f"SHOP2_TOKEN={TOKEN}\n")
        reader.paste("every-store")
    query = "SELECT store_hash, count(*) FROM raw.product_images WHERE _sdc_deleted_at IS NULL GROUP BY 1"
    assert {row["store_hash"]: row["count"] for row in warehouse.rows(query)} == counts
    for shop in ("shop1", "shop2"):
        (archive,) = (project.folder / "output" / shop / "archives" / "store").glob("*.singer.gz")
        assert archive.name.count(".") == 2, "a whole one"


@pytest.mark.slow
def test_from_v2_to_v3(with_postgres: Project, store: SandboxServer, warehouse: Postgres) -> None:
    reader = Reader(with_postgres)
    columns = "SELECT count(*) AS rows, count(date_created) AS v2, count(date_modified) AS v3 FROM raw.product_images"
    count = len(store.dump(files=False)["images"])
    reader.type("TAP_BC_IMAGES_API_VERSION=v2 meltano --environment=prod run warehouse")
    assert warehouse.rows(columns) == [{"rows": count, "v2": count, "v3": 0}]
    store.clear_requests()
    assert "0 differences" in reader.paste("v2-to-v3")
    assert warehouse.rows(columns) == [{"rows": count, "v2": 0, "v3": count}]
    assert any("/v2/products/" in each["path"] for each in store.requests())
