"""Which of the media types that can be sent a client accepts."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["accepted"]

_LONGEST = 4096


def accepted(header: str | None, offered: Sequence[str]) -> str | None:
    """The first of the offered types that an ``Accept`` header takes, the best weighted first; None: none of them.

    Ranges (``text/*``) and weights are those of RFC 9110, section 12.5.1; parameters such as ``charset`` do not count.
    A vendor's type also answers to its plain one: ``text/vnd.x+plain`` to ``text/plain`` (refget 2.0, "Internet Media
    Types Handling").
    """
    if header is None or not header.strip():
        return offered[0]
    weights = dict(map(_weight, header[:_LONGEST].split(",")))
    best: tuple[float, str | None] = (0.0, None)
    for media_type in offered:
        weight = next((weights[name] for name in _names(media_type) if name in weights), 0.0)
        if weight > best[0]:
            best = weight, media_type
    return best[1]


def _names(media_type: str) -> tuple[str, str, str, str]:
    """What a client may call a type, from the most to the least specific."""
    full = media_type.partition(";")[0]
    group, _, kind = full.partition("/")
    return full, f"{group}/{kind.rpartition('+')[2]}", f"{group}/*", "*/*"


def _weight(item: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in item.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, min(max(float(parameter[2:]), 0.0), 1.0)
            except ValueError:
                return name, 0.0
    return name, 1.0
