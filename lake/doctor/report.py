"""What the doctor says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

__all__ = ["Check", "DoctorReport", "State", "fail", "ok", "warn"]


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    """Works, but somebody should know."""
    FAIL = "fail"
    """Must not stay so."""


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    state: State
    found: str
    """What there is, in words."""
    advice: str = ""
    """What to do about it; empty when all is well."""


def ok(name: str, found: str) -> Check:
    return Check(name, State.OK, found)


def warn(name: str, found: str, advice: str) -> Check:
    return Check(name, State.WARN, found, advice)


def fail(name: str, found: str, advice: str) -> Check:
    return Check(name, State.FAIL, found, advice)


@dataclass(frozen=True, slots=True)
class DoctorReport:
    root: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Nothing fails; warnings may be there."""
        return all(check.state is not State.FAIL for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        return {"ok": self.ok, "root": self.root, "checks": [check._asdict() for check in self.checks]}
