"""Seeds of what is drawn."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: object) -> int:
    """A seed in [0, 2^31) from any parts, the same on every machine and in every order of launch."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:4], "big") >> 1
