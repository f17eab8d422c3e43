"""Every parser of bytes from outside, in a form that takes nothing but these bytes; and valid samples for each.

What has header fields and a body is given as a status, fields and a body, as they travel.
"""

from __future__ import annotations

from tests.support.parsers import airbyte, api, commands, files

__all__ = ["PARSERS"]

PARSERS = {**api.PARSERS, **files.PARSERS, **commands.PARSERS, **airbyte.PARSERS}
