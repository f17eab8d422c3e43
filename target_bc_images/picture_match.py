"""Compares a live picture with that of the backup by all that is known. Pure."""

from __future__ import annotations

import re

from bc_images.bigcommerce.mapping import Record, comparable_stem
from target_bc_images.changes import source_key
from target_bc_images.context import PictureMatch, PlanContext

__all__ = ["comparable_name", "equal_content", "known_same", "same_picture", "sent_names"]

_LONGEST_NAME = 150  # characters of a name that are compared


def comparable_name(image_file: str) -> str:
    """Return what stays of a file's name wherever it has been: for comparing, not for showing.

    Beyond `stem`, WebDAV and the store itself reduce names to ASCII and cut long ones.
    """
    return comparable_stem(re.sub(r"[^\x00-\x7f]", "-", image_file))[:_LONGEST_NAME] or "image"


def sent_names(record: Record) -> set[str]:
    """Return the names under which a record's picture may have been sent: its own, or its digest."""
    return {comparable_name(record["image_file"]), record.get("file_sha256") or ""} - {""}


def equal_content(record: Record, image: Record, context: PlanContext) -> bool | None:
    """Whether two pictures have the same bytes; None where nobody knows."""
    expected, actual = record.get("file_sha256"), context.digests.get(image["image_file"])
    if expected is None or actual is None:
        return None
    if expected == actual:
        return True
    # A rendition, or a copy that a CDN has altered, never is its original to the byte.
    if record.get("file_source") in {"zoom", "cdn"} or image["image_file"] in context.altered:
        return None
    has_kept_its_id = record["store_hash"] == context.store_hash and record["id"] == image["id"]
    return False if context.sends_bytes or has_kept_its_id else None


def known_same(record: Record, image: Record, context: PlanContext) -> bool:
    """Whether the live picture is known to be the wanted one: image paths never change their content."""
    if record["store_hash"] == context.store_hash and record["image_file"] == image["image_file"]:
        return True
    key = source_key(record)
    entry = context.entries.get(key)
    if entry is not None and entry[1:] == (record["image_file"], image["image_file"]):
        return True
    return equal_content(record, image, context) is True


def same_picture(record: Record, image: Record, context: PlanContext) -> PictureMatch:
    """Whether the live picture is the wanted one; where no digest can tell, appearance and name do."""
    if verdict := context.verdicts.get(image["image_file"]):
        return verdict.match
    if known_same(record, image, context):
        return "same"
    if equal_content(record, image, context) is False:
        return "other"
    if (source_key(record), image["image_file"]) in context.similar:
        return "similar"
    if comparable_name(image["image_file"]) not in sent_names(record):
        return "other"
    is_unknown = image["image_file"] in context.unreadable and record.get("file_source") != "zoom"
    if is_unknown:
        return "unknown"
    is_comparable = record.get("file_source") not in {"zoom", "cdn"} and image["image_file"] not in context.altered
    return "same" if is_comparable else "named"
