"""What every part of `Rae` stands on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rae import _rae
from rae._types import UNSET


class Handle:
    """Has the native handle."""

    __slots__ = ("_native",)

    def __init__(self, native: _rae.Store) -> None:
        self._native = native


def changed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that were given: None clears one, `UNSET` leaves it as it is."""
    return {name: value for name, value in fields.items() if value is not UNSET}
