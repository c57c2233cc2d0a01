"""What is known of the spectra and chromatograms of a run, as columns of numpy: the same for every format.

Byte offsets count from the start of the content: of the file, or of what its gzip or bzip2 holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ArrayTable",
    "ChromatogramTable",
    "Layout",
    "ListSpan",
    "PrecursorTable",
    "RunFacts",
    "RunTable",
    "SpectrumTable",
]

I8 = NDArray[np.int8]
I16 = NDArray[np.int16]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
Texts = NDArray[np.object_]
"""``str`` or None an item."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrayTable:
    """Binary arrays of all spectra (or chromatograms), a row each, in file order.

    The arrays of row ``i`` of the owner are rows ``first[i]`` to ``first[i + 1]``.
    """

    first: I64
    """One more than the owner has rows."""
    kind: I32
    """Number of the accession: 1000514 m/z, 1000515 intensity, 1000595 time, 1000786 non-standard; 0 unknown."""
    offset: I64
    """First byte of the base64 text (of the raw values in an ibd), from the start of the content."""
    length: I64
    """Bytes of that text, 0 for an empty array."""
    dtype: I32
    """Number of the accession: 1000523 float64, 1000521 float32, 1000522 int64, 1000519 int32; 0 unknown."""
    compression: I32
    """Number of the accession: 1000576 none, 1000574 zlib, 1002312 to 1002314 MS-Numpress linear, pic, slof, 1002746
    to 1002748 the same with zlib, 1003780 zstd; 0 unknown."""
    points: I64
    """arrayLength where the array has one of its own, else -1: that of its owner counts."""


@dataclass(frozen=True, slots=True, eq=False)
class PrecursorTable:
    """Precursors beyond the first one of a spectrum (MS3, multiplexing), a row each, ascending by ``row``."""

    row: I64
    """Row of the spectrum."""
    precursor_mz: F64
    precursor_charge: I16
    precursor_intensity: F64
    isolation_mz: F64
    isolation_low: F64
    isolation_high: F64
    activation: Texts
    collision_energy: F64


@dataclass(frozen=True, slots=True, eq=False)
class SpectrumTable:
    """Spectra in file order, a row each.

    Absent values: NaN in reals, None in texts, -1 in ``scan`` and ``n_points``, 0 in ``ms_level``, ``polarity`` and
    ``precursor_charge``, -1 in ``centroided``. Units are those of `lake.formats.facts.kinds`: seconds, m/z, bytes.
    """

    native_id: Texts
    scan: I64
    ms_level: I16
    rt: F64
    polarity: I8
    """1 positive, -1 negative, 0 not known."""
    centroided: I8
    """1 centroid, 0 profile, -1 not known."""
    n_points: I64
    tic: F64
    base_peak_mz: F64
    base_peak_intensity: F64
    low_mz: F64
    high_mz: F64
    precursor_mz: F64
    precursor_charge: I16
    precursor_intensity: F64
    isolation_mz: F64
    isolation_low: F64
    isolation_high: F64
    activation: Texts
    """Accessions of the dissociation methods, joined by commas: ``MS:1000422``."""
    collision_energy: F64
    ion_mobility: F64
    filter_string: Texts
    injection_time: F64
    offset: I64
    """First byte of the spectrum (``<spectrum``, ``BEGIN IONS``)."""
    length: I64
    """Bytes of the spectrum to the end of its end tag."""
    header_length: I32
    """Bytes ahead of the first array: up to ``<binaryDataArrayList`` (or the whole length)."""
    x: I32
    """Position of a pixel, from 1; -1 where there is none."""
    y: I32
    z: I32
    arrays: ArrayTable
    further: PrecursorTable

    def __len__(self) -> int:
        return len(self.offset)


@dataclass(frozen=True, slots=True, eq=False)
class ChromatogramTable:
    """Chromatograms in file order, a row each; absent values as in `SpectrumTable`."""

    native_id: Texts
    type: Texts
    """Accession of the chromatogram type: ``MS:1000235`` TIC, ``MS:1001473`` SRM."""
    n_points: I64
    polarity: I8
    precursor_mz: F64
    """Isolation window target of the precursor."""
    product_mz: F64
    collision_energy: F64
    offset: I64
    length: I64
    arrays: ArrayTable

    def __len__(self) -> int:
        return len(self.offset)


class ListSpan(NamedTuple):
    """Where ``spectrumList`` or ``chromatogramList`` lies; offsets in bytes."""

    tag: int
    """First byte of the start tag."""
    content: int
    """Behind the start tag."""
    close: int
    """First byte of the end tag; ``content`` where the start tag closes itself (``/>``)."""
    stop: int
    """Behind the end tag."""
    stated: int
    """The count that the start tag states, -1 where it states none."""


class Layout(NamedTuple):
    """Where the parts of an mzML lie; offsets in bytes, -1 where the part is missing."""

    encoding: str
    """Of the text: ``utf-8``, ``iso-8859-1``, … as Python knows it."""
    root: int
    """First byte of the root element; the XML prolog lies before it."""
    mzml: int
    """First byte of ``<mzML``: the root, or inside ``<indexedmzML>``."""
    stop: int
    """Behind ``</mzML>``."""
    run_close: int
    """First byte of ``</run>``."""
    indexed: bool
    """Whether the root is ``indexedmzML``."""
    own_index_ok: bool | None
    """Whether every offset of the file's own index is right; None where it has none."""
    version: str
    spectra: ListSpan | None
    chromatograms: ListSpan | None
    mode: str
    """How it was read: ``fast``, ``generic`` or ``strict``."""


class RunFacts(NamedTuple):
    """What a file says of its run; see the facts ``runs``. None where it says nothing."""

    run_id: str | None = None
    started: str | None = None
    instrument: str | None = None
    serial_number: str | None = None
    software: str | None = None
    native_id_format: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RunTable:
    """All that is known of a file of spectra."""

    run: RunFacts
    spectra: SpectrumTable
    chromatograms: ChromatogramTable
    layout: Layout | None = None
    """Of mzML, and of the mzML inside of other formats. Of mzXML, where ``spectra`` is the element msRun; else None."""
