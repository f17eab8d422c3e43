"""The command ``bc-images sandbox``: a sandbox store in a process of its own."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from threading import Event, Thread

import click

from bigcommerce_sandbox.faults import BadScript
from bigcommerce_sandbox.flags import BadFlag
from bigcommerce_sandbox.product_list import BadProductList
from bigcommerce_sandbox.server import PortUnusable, SandboxServer
from bigcommerce_sandbox.state import BadData


class Unusable(click.ClickException):
    """An option that cannot be used; ends with exit code 2."""

    exit_code = 2


def _set_at_end_of_stdin(done: Event) -> None:
    sys.stdin.buffer.read()
    done.set()


def _flags(pairs: tuple[str, ...]) -> dict[str, object]:
    values: dict[str, object] = {}
    for item in pairs:
        name, sign, value = item.partition("=")
        if not sign:
            raise Unusable(f"--flag takes NAME=VALUE, not {item!r}.")
        values[name] = value
    return values


@click.command
@click.option("--port", default=8100, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free port.")
@click.option("--products", default=1000, show_default=True, type=click.IntRange(0), help="Products of a new store.")
@click.option("--images", default=3, show_default=True, type=click.IntRange(0), help="Images of each product.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Another seed, other pictures.")
@click.option(
    "--data",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that keeps the store; without it everything is in memory.",
)
@click.option(
    "--product-list",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of further products of a new store: JSON lines with id, sku and name.",
)
@click.option("--discard-pictures", is_flag=True, help="Keep digest and size of what is sent, and not the bytes.")
@click.option("--until-stdin-closes", is_flag=True, help="End with the program that holds the other end of stdin.")
@click.option("--faults", default="", help="Script of fault codes, one for each API request.")
@click.option("--latency", type=click.IntRange(0), help="Milliseconds added to each request.")
@click.option("--quota", type=click.IntRange(1), help="Requests a window.")
@click.option("--window", type=click.IntRange(1), help="Milliseconds of a window.")
@click.option("--picture-bytes", type=click.IntRange(0), help="Exact size of each seeded picture.")
@click.option("--flag", multiple=True, metavar="NAME=VALUE", help="Set a flag; see docs/sandbox.md. Repeatable.")
def sandbox(
    port: int,
    products: int,
    images: int,
    seed: int,
    data: Path | None,
    product_list: Path | None,
    discard_pictures: bool,
    until_stdin_closes: bool,
    faults: str,
    latency: int | None,
    quota: int | None,
    window: int | None,
    picture_bytes: int | None,
    flag: tuple[str, ...],
) -> None:
    """Run a store that answers like BigCommerce, on this machine only.

    It is a toy: its tokens are known to everybody and nothing is encrypted. It listens on 127.0.0.1, answers to no
    other name than localhost, and lets no web page change it. Never make it reachable from elsewhere.

    Store hash `sandbox`, token `sandbox-token`; the address it prints serves as api_url and as store_url.
    Ends on Ctrl-C or SIGTERM.
    """
    named = {"latency_ms": latency, "quota": quota, "window_ms": window, "picture_bytes": picture_bytes}
    flags = {name: value for name, value in named.items() if value is not None} | _flags(flag)
    done = Event()
    if until_stdin_closes:
        Thread(target=_set_at_end_of_stdin, args=(done,), name="stdin", daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    try:
        server = SandboxServer(
            products,
            images,
            seed,
            data,
            port,
            faults=faults,
            flags=flags,
            product_list=product_list,
            keeps_bytes=not discard_pictures,
        )
    except PortUnusable as error:
        raise Unusable(f"{error}. Try another --port.") from error
    except (BadFlag, BadScript, BadData, BadProductList) as error:
        raise Unusable(f"{error}.") from error
    with server:
        click.echo(f"Sandbox store at {server.url} (store hash sandbox, token sandbox-token)")
        done.wait()
