"""Filters of HDF5 by the names of h5py, and as the codecs of numcodecs that undo them."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Filter", "codecs_of", "filters_of"]

_NAMES = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}
"""Filters of the library itself, and the one that h5py brings along (HDF5 registered filter plugins)."""
_PLUGINS = {32001: "blosc", 32004: "lz4", 32015: "zstd", 32026: "blosc2"}


class Filter(NamedTuple):
    """One step of a pipeline; chunks are written through the steps in order."""

    code: int
    values: tuple[int, ...]

    @property
    def name(self) -> str:
        return _NAMES.get(self.code) or _PLUGINS.get(self.code) or f"filter {self.code}"


def filters_of(dataset: Any) -> tuple[Filter, ...]:
    """The pipeline of an `h5py.Dataset`."""
    plist = dataset.id.get_create_plist()
    return tuple(
        Filter(code, tuple(values)) for code, _, values, _ in (plist.get_filter(n) for n in range(plist.get_nfilters()))
    )


def codecs_of(filters: tuple[Filter, ...], itemsize: int, mask: int = 0) -> list[dict[str, Any]]:
    """Configurations of codecs, in the order in which chunks were written; decode them last to first.

    A filter that numcodecs does not have is ``{"id": "hdf5", "filter": CODE, "values": [...]}``.

    Args:
        filters: the pipeline.
        itemsize: bytes of an element.
        mask: of a chunk; bit n says that step n was left out for it.
    """
    return [_codec(step, itemsize) for number, step in enumerate(filters) if not mask >> number & 1]


def _codec(step: Filter, itemsize: int) -> dict[str, Any]:
    match step.name:
        case "gzip":
            return {"id": "zlib", "level": step.values[0] if step.values else 4}
        case "shuffle":
            return {"id": "shuffle", "elementsize": step.values[0] if step.values else itemsize}
        case "fletcher32":
            return {"id": "fletcher32"}
        case "zstd":
            return {"id": "zstd", "level": step.values[0] if step.values else 3}
        case "blosc":
            return {"id": "blosc"}
        case _:
            return {"id": "hdf5", "filter": step.code, "values": list(step.values)}
