"""A file store behind a web server: listings without lengths, in the forms that servers give them, are no alarm."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

import pytest

from bc_images.files import FileStore, open_files
from bc_images.files.layout import object_key
from tests.support.commands import run
from tests.support.pictures import png

NAMES = ["a/1.png", "größe und &mehr.png", "x%20y.png", "plain#1?.png", "d.e-f_1.png", "~home/'q\"<>.png"]

Page = Callable[[str, list[str]], str]
"""Makes the page of a folder out of its address and the names in it, folders with a slash at the end."""


def python(path: str, names: list[str]) -> str:
    return "".join(f'<li><a href="{quote(name)}">{escape(name)}</a></li>' for name in names)


def apache(path: str, names: list[str]) -> str:
    sorting = "".join(f'<a href="?C={column};O=D">{column}</a>' for column in "NMSD")
    up = f'<a href="{path.rstrip("/").rpartition("/")[0] or ""}/">Parent Directory</a>'
    links = "".join(f'<td><a href="{quote(name, safe="/=&")}">{escape(name)[:20]}..</a></td>' for name in names)
    return f"<html><body>{sorting}{up}{links.replace('&', '&amp;')}</body></html>"


def nginx(path: str, names: list[str]) -> str:
    links = "".join(
        f'<a href="{quote(name, safe="/=")}">{escape(name)[:47]}..&gt;</a>  01-Jan-2026\n' for name in names
    )
    return f'<html><h1>Index of {path}</h1><pre><a href="../">../</a>\n{links}</pre></html>'


def caddy(path: str, names: list[str]) -> str:
    links = "".join(f'<a href="./{quote(name)}">{escape(name)}</a>' for name in names)
    return f'<a href="/">/</a><a href="..">up</a>{links}<a href="https://caddyserver.com/">http://127.0.0.1/x</a>'


def absolute(path: str, names: list[str]) -> str:
    return "".join(f'<a href="{path}{quote(name)}">{escape(name)}</a>' for name in names)


@pytest.fixture(params=[python, apache, nginx, caddy, absolute], ids=lambda page: page.__name__)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    page: Page = request.param

    class Handler(http.server.SimpleHTTPRequestHandler):
        def list_directory(self, path: object) -> None:
            folder = Path(str(path))
            names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in folder.iterdir())
            content = page(self.path, names).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Say nothing."""

    handler = functools.partial(Handler, directory=str(tmp_path))
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    made = open_files(str(tmp_path / "my files"))
    for number, name in enumerate(NAMES):
        stored = made.add([png(2000, number)])
        made.refs("abc").put(name, stored)
    return made


def test_a_sound_file_store_gives_no_alarm(server: str, files: FileStore) -> None:
    done = run("bc-images", "check", "--file-store", f"{server}/my%20files/")
    assert (done.code, done.err) == (0, ""), done.out
    assert f"{len(NAMES)} files ({2000 * len(NAMES):,} bytes)" in done.out
    refs = open_files(f"{server}/my%20files").refs("abc")
    assert all(refs.get(name) for name in NAMES)


def test_what_is_wrong_is_found_all_the_same(server: str, files: FileStore, tmp_path: Path) -> None:
    stored = [files.refs("abc").get(name) for name in NAMES[:3]]
    damaged, missing, cut = (tmp_path / "my files" / object_key(saved.sha256) for saved in stored if saved)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    missing.unlink()
    cut.write_bytes(cut.read_bytes()[:-1])
    (tmp_path / "my files" / "sha256" / "ab").mkdir(exist_ok=True)
    (tmp_path / "my files" / "sha256" / "ab" / "notes.txt").write_text("no picture")
    done = run("bc-images", "check", "--file-store", f"{server}/my%20files")
    lines = done.out.splitlines()
    assert done.code == 1
    assert {line.split()[0] for line in lines[:-1]} == {"!", "-", "+"}
    assert "2 corrupt, 1 missing, 1 orphaned" in lines[-1]


def test_no_file_store_there(server: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in ("empty", "missing"):
        done = run("bc-images", "check", "--file-store", f"{server}/{path}")
        assert done.code == 3
        assert "No file store found at http://" in done.err
