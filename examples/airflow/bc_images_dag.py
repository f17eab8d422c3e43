"""Meltano's schedules as Airflow DAGs; a store is loaded into its warehouse by several shards side by side.

Every schedule of meltano.yml becomes a DAG of the same name and interval. A job of `FAN_OUT` is cut into shards of
about equally many products; they run in the pool `bigcommerce`, whose slots say how many may ask the store at once
(all of them share its quota, and each slows down by itself as the quota runs out). No shard speaks for the whole
table, so what has left the store is marked at the end, when every shard has succeeded.

Needs Airflow 3 with ``meltano`` and, for the mark, ``psql`` on the path. Once: airflow pools set bigcommerce 4 "store"

From the environment:
    MELTANO_PROJECT_ROOT   folder of meltano.yml; default: the working directory
    MELTANO_ENVIRONMENT    sandbox or prod; default: prod
    DAG_SHARDS             how many shards; default: 4
    DAG_WAREHOUSE          address of the database for psql, such as postgresql://loader@db/warehouse; its password in
                           PGPASSWORD or ~/.pgpass. Empty: deletions are not marked here.
"""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

PROJECT = Path(os.environ.get("MELTANO_PROJECT_ROOT", "."))
ENVIRONMENT = os.environ.get("MELTANO_ENVIRONMENT", "prod")
SHARDS = int(os.environ.get("DAG_SHARDS", "4"))
WAREHOUSE = os.environ.get("DAG_WAREHOUSE", "")
FAN_OUT = {"warehouse"}  # not the backup: an archive is one full sync
POOL = "bigcommerce"
RETRY = {"retries": 2, "retry_delay": timedelta(minutes=5)}

# The same stands in docs/pipelines.md, with its two variables set by hand.
MARK_DELETED = r"""
UPDATE raw.product_images
SET _sdc_deleted_at = now() AT TIME ZONE 'UTC'
WHERE store_hash = :'store' AND _sdc_deleted_at IS NULL AND _sdc_extracted_at < :'began';

SELECT to_regclass('raw.products') IS NOT NULL AS has_products \gset
\if :has_products
  UPDATE raw.products
  SET _sdc_deleted_at = now() AT TIME ZONE 'UTC'
  WHERE store_hash = :'store' AND _sdc_deleted_at IS NULL AND _sdc_extracted_at < :'began'
    -- Where products are loaded no more, they have not all left the store.
    AND EXISTS (SELECT FROM raw.products WHERE store_hash = :'store' AND _sdc_extracted_at >= :'began');
\endif
"""


def meltano(*arguments: str, **settings: str) -> None:
    """Run Meltano; its log becomes the task's."""
    command = ["meltano", f"--environment={ENVIRONMENT}", *arguments]
    subprocess.run(command, cwd=PROJECT, env={**os.environ, **settings}, check=True)


def ask_meltano(*arguments: str) -> Any:
    """Return what Meltano prints as JSON."""
    command = ["meltano", f"--environment={ENVIRONMENT}", "--log-level=warning", *arguments]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def origin_of(number: str) -> dict[str, str]:
    """Return the variables that let a Meltano run beside others of the same plugins.

    Meltano keeps the catalog and the state of a run in one file for each plugin, whoever else is running. So every
    shard has a folder of its own for them; the plugins and the database of states stay common to all.
    """
    common = PROJECT.absolute() / ".meltano"
    own = common / "shards" / number
    own.mkdir(parents=True, exist_ok=True)
    for kind in ("extractors", "loaders", "utilities"):
        if (common / kind).exists() and not (own / kind).exists():
            (own / kind).symlink_to(common / kind)
    database = os.environ.get("MELTANO_DATABASE_URI", f"sqlite:///{common}/meltano.db")
    return {"MELTANO_SYS_DIR_ROOT": str(own), "MELTANO_DATABASE_URI": database}


def schedules() -> list[dict[str, Any]]:
    """Return Meltano's schedules; asked again only when meltano.yml has changed, for Airflow reads this file often."""
    listed, project = PROJECT / ".meltano" / "schedules.json", PROJECT / "meltano.yml"
    if not listed.exists() or listed.stat().st_mtime < project.stat().st_mtime:
        listed.parent.mkdir(exist_ok=True)
        own = listed.with_name(f"schedules.{os.getpid()}.json")  # others read this file at the same time
        own.write_text(json.dumps(ask_meltano("schedule", "list", "--format=json")))
        own.replace(listed)
    found: list[dict[str, Any]] = json.loads(listed.read_text())["schedules"]["job"]
    return found


@task(**RETRY)
def cut() -> list[dict[str, Any]]:
    """Cut the store into shards; each knows its number, and when all of this began."""
    began = datetime.now(UTC).replace(tzinfo=None).isoformat()
    shards = ask_meltano("invoke", "tap-bc-images:shards", "--count", str(SHARDS))
    return [{"began": began, "number": str(number), **shard} for number, shard in enumerate(shards)]


@task(pool=POOL, **RETRY)
def load(job: str, shard: dict[str, Any]) -> str:
    """Load one shard, with a state of its own; return when all of this began.

    All of it: a shard that went on where an earlier night failed would leave its first part as that night read it, and
    what was not read since this night began counts as gone.
    """
    bounds = {f"TAP_BC_IMAGES_{name.upper()}": str(shard[name]) for name in shard if name.startswith("product_id")}
    suffix = f"--state-id-suffix=shard-{shard['number']}"
    meltano("run", "--full-refresh", suffix, job, **bounds, **origin_of(shard["number"]))
    return str(shard["began"])


@task(**RETRY)
def mark_deleted(began: list[str]) -> None:
    """Mark the rows that no shard has seen: all shards have succeeded, so the store has them no more."""
    store = ask_meltano("config", "print", "tap-bc-images")["store_hash"]  # the table may hold other stores
    variables = ["-v", "ON_ERROR_STOP=1", "-v", f"began={min(began)}", "-v", f"store={store}"]
    command = ["psql", WAREHOUSE, "-X", *variables]
    subprocess.run(command, input=MARK_DELETED, text=True, check=True)


@task(pool=POOL, **RETRY)
def run(job: str) -> None:
    """Run a job whole."""
    meltano("run", job)


for schedule in schedules():
    name, job = schedule["name"], schedule["job"]["name"]
    start = datetime(2025, 1, 1, tzinfo=UTC)
    with DAG(name, schedule=schedule["cron_interval"], start_date=start, catchup=False, max_active_runs=1):
        if job in FAN_OUT:
            began = load.partial(job=job).expand(shard=cut())
            if WAREHOUSE:
                mark_deleted(began)
        else:
            run(job)
