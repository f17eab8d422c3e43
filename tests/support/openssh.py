"""OpenSSH's server from Debian: files by SFTP, for the user who runs the tests, with a key."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.postgres import free_port
from tests.support.processes import running

__all__ = ["SSH", "openssh"]

_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile {folder}/pid
AuthorizedKeysFile {folder}/user.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class SSH:
    """A running server; `key` is the file of a key that it accepts, `other_key` of one that it does not."""

    port: int
    key: Path
    other_key: Path

    def url(self, folder: Path) -> str:
        """Return the address of a folder."""
        return f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}{folder}"


@contextmanager
def openssh(folder: Path) -> Iterator[SSH]:
    """Start a server on a free port; its files are in `folder`."""
    program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("OpenSSH's server is not installed: apt-get install openssh-server")
    for name in ("host", "user", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    port = free_port()
    (folder / "sshd_config").write_text(_CONFIG.format(folder=folder, port=port))
    if not os.geteuid():
        Path("/run/sshd").mkdir(exist_ok=True)  # where it shuts itself in; nothing else makes it without systemd
    with running(program, "-D", "-e", "-f", folder / "sshd_config", port=port, log=folder / "log"):
        yield SSH(port, folder / "user", folder / "other")
