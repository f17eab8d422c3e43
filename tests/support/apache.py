"""Apache from Debian, with WebDAV and digest authentication, with WebDAV and Basic alone, and with plain listings."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.postgres import free_port
from tests.support.processes import running

__all__ = ["PASSWORD", "USER", "Apache", "apache"]

USER = "merchant@example.com"
PASSWORD = "a long, \"quoted\" password: '%40'"
_MODULES = Path("/usr/lib/apache2/modules")
_NAMES = (
    "mpm_event authz_core authz_user authn_core authn_file auth_basic auth_digest dav dav_fs dav_lock dir autoindex "
    "mime alias"
)

_CONFIG = """
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
ServerRoot {folder}
PidFile {folder}/pid
ErrorLog {folder}/error.log
LogLevel warn
TypesConfig /dev/null
{modules}
{user}
DavLockDB {folder}/locks/db
DocumentRoot {folder}/public
<Directory {folder}>
  Require all granted
</Directory>
<Directory {folder}/public>
  Options +Indexes
  IndexOptions FancyIndexing
</Directory>
Alias /dav {folder}/digest
<Location /dav>
  Dav On
  AuthType Digest
  AuthName bc-images
  AuthDigestProvider file
  AuthUserFile {folder}/users.digest
  Require valid-user
</Location>
Alias /basic/dav {folder}/basic
<Location /basic/dav>
  Dav On
  AuthType Basic
  AuthName bc-images
  AuthUserFile {folder}/users.basic
  Require valid-user
</Location>
"""


@dataclass(frozen=True)
class Apache:
    """A running server.

    Attributes:
        url: its address.
        folder: where its files are: ``public`` is listed, ``digest`` is WebDAV at ``/dav``.
    """

    url: str
    folder: Path

    @property
    def imports(self) -> Path:
        """The import folder of WebDAV."""
        return self.folder / "digest" / "product_images" / "import"


@contextmanager
def apache() -> Iterator[Apache]:
    """Start a server on a free port, with its files in a temporary folder."""
    program = shutil.which("apache2", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("Apache is not installed: apt-get install apache2")
    # Not a folder of pytest's: these may be closed to the user that Apache runs as.
    folder = Path(tempfile.mkdtemp(prefix="bc-images-apache-"))
    folder.chmod(0o755)
    for name in ("public", "locks", "digest/product_images/import", "basic/product_images/import"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    realm = hashlib.md5(f"{USER}:bc-images:{PASSWORD}".encode()).hexdigest()
    (folder / "users.digest").write_text(f"{USER}:bc-images:{realm}\n")
    (folder / "users.basic").write_text(f"{USER}:{{SHA}}AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
    user = ""
    if not os.geteuid():
        user = "User www-data\nGroup www-data"
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, "www-data", "www-data")
    port = free_port()
    modules = "\n".join(f"LoadModule {name}_module {_MODULES}/mod_{name}.so" for name in _NAMES.split())
    (folder / "apache.conf").write_text(_CONFIG.format(folder=folder, port=port, modules=modules, user=user))
    try:
        with running(program, "-f", folder / "apache.conf", "-DFOREGROUND", port=port, log=folder / "start.log"):
            yield Apache(f"http://127.0.0.1:{port}", folder)
    finally:
        shutil.rmtree(folder)
