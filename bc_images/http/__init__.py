"""The one door to the store's API, and what other doors to the network need of it."""

from __future__ import annotations

from bc_images.http.client import Client
from bc_images.http.failures import describe, failure
from bc_images.http.reachability import Reachability
from bc_images.http.session import DigestAuth, backoff, session

__all__ = ["Client", "DigestAuth", "Reachability", "backoff", "describe", "failure", "session"]
