"""Binary arrays of spectra and chromatograms, decoded: base64, compression, values.

Types and compressions go by the number of their accession: 1000523 is MS:1000523. Source: mzML 1.1.1,
``binaryDataArray``; PSI-MS, children of MS:1000518 (binary data type) and MS:1000572 (binary data compression type).
"""

from __future__ import annotations

import binascii
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from lake.errors import FormatError, Unsupported
from lake.formats.spectra.numpress import decode_linear, decode_pic, decode_slof

__all__ = [
    "INTENSITY",
    "MOBILITIES",
    "MOBILITY",
    "MZ",
    "VALUE_TYPES",
    "Compression",
    "Values",
    "decode_array",
    "decode_base64",
    "decode_bytes",
    "inflate",
    "predict_by_delta",
    "predict_by_line",
]

Values: TypeAlias = npt.NDArray[Any]

MZ, INTENSITY = 1000514, 1000515
MOBILITY = 1002893
MOBILITIES = (MOBILITY, 1002477, 1002816, 1003006, 1003007, 1003008, 1003153, 1003154, 1003155, 1003156)
"""The ion mobility array and its children: drift times and inverse reduced mobilities; mean, raw, deconvoluted."""

VALUE_TYPES: dict[int, np.dtype[Any]] = {
    1000519: np.dtype("<i4"),
    1000520: np.dtype("<f2"),
    1000521: np.dtype("<f4"),
    1000522: np.dtype("<i8"),
    1000523: np.dtype("<f8"),
}
"""Types of values. Floats of 16 bits are obsolete."""


class Compression(IntEnum):
    """How the bytes of an array were made smaller."""

    NONE = 1000576
    ZLIB = 1000574
    LINEAR = 1002312
    """MS-Numpress linear prediction."""
    PIC = 1002313
    """MS-Numpress positive integers."""
    SLOF = 1002314
    """MS-Numpress short logged floats."""
    LINEAR_ZLIB = 1002746
    PIC_ZLIB = 1002747
    SLOF_ZLIB = 1002748
    TRUNCATED_ZLIB = 1003088
    """Bits were dropped before zlib, for good."""
    DELTA_ZLIB = 1003089
    PREDICTED_ZLIB = 1003090
    ZSTD = 1003780
    SHUFFLED_ZSTD = 1003781
    """First bytes of all values, then all second ones, and so on."""
    LINEAR_ZSTD = 1003783
    PIC_ZSTD = 1003784
    SLOF_ZSTD = 1003785


_NUMPRESS = {
    Compression.LINEAR: decode_linear,
    Compression.LINEAR_ZLIB: decode_linear,
    Compression.LINEAR_ZSTD: decode_linear,
    Compression.PIC: decode_pic,
    Compression.PIC_ZLIB: decode_pic,
    Compression.PIC_ZSTD: decode_pic,
    Compression.SLOF: decode_slof,
    Compression.SLOF_ZLIB: decode_slof,
    Compression.SLOF_ZSTD: decode_slof,
}
_ZLIB = frozenset(
    {
        Compression.ZLIB,
        Compression.LINEAR_ZLIB,
        Compression.PIC_ZLIB,
        Compression.SLOF_ZLIB,
        Compression.TRUNCATED_ZLIB,
        Compression.DELTA_ZLIB,
        Compression.PREDICTED_ZLIB,
    }
)
_ZSTD = frozenset(
    {
        Compression.ZSTD,
        Compression.SHUFFLED_ZSTD,
        Compression.LINEAR_ZSTD,
        Compression.PIC_ZSTD,
        Compression.SLOF_ZSTD,
    }
)
_NUMPRESS_VALUE = 10
"""No number of MS-Numpress takes more bytes, counting the fixed point, than these and `_NUMPRESS_HEAD`."""
_NUMPRESS_HEAD = 16
_MOST = 1 << 29
"""Bytes of an array, decoded. A spectrum has a few million points at most."""


def decode_array(text: bytes, value_type: int, compression: int, length: int) -> Values:
    """Values of an array as mzML keeps it.

    Args:
        text: base64, white space ignored.
        value_type: number of the accession, a key of `VALUE_TYPES`; MS-Numpress makes 64-bit floats whatever it says.
        compression: number of the accession, see `Compression`.
        length: how many values the array has, ``defaultArrayLength`` or ``arrayLength``.

    Raises:
        FormatError: damaged, or of another length.
        Unsupported: another type or compression.
    """
    return decode_bytes(decode_base64(text), value_type, compression, length)


def decode_bytes(data: bytes, value_type: int, compression: int, length: int) -> Values:
    """As `decode_array`, of the bytes that base64 wraps; imzML keeps them bare."""
    if compression == Compression.ZLIB and value_type in VALUE_TYPES:  # as nearly all files have it
        dtype = VALUE_TYPES[value_type]
        return _as_values(inflate(data, length * dtype.itemsize), dtype, length)
    try:
        scheme = Compression(compression)
    except ValueError:
        raise Unsupported(f"an array is compressed by MS:{compression}, which is not known here") from None
    dtype = np.dtype("<f8") if scheme in _NUMPRESS else _value_type(value_type)
    most = length * (_NUMPRESS_VALUE if scheme in _NUMPRESS else dtype.itemsize)
    if scheme in _NUMPRESS:
        most += _NUMPRESS_HEAD
    if scheme in _ZLIB:
        data = inflate(data, most, exact=scheme not in _NUMPRESS)
    elif scheme in _ZSTD:
        data = _unpack_zstd(data, most)
    if scheme in _NUMPRESS:
        if len(data) > most:
            raise FormatError(f"{len(data):,} bytes of MS-Numpress for {length:,} values")
        return _checked(_NUMPRESS[scheme](data), length) if data else _checked(np.empty(0, dtype), length)
    if scheme is Compression.SHUFFLED_ZSTD:
        data = _unshuffle(data, dtype.itemsize)
    values = _as_values(data, dtype, length)
    if scheme is Compression.DELTA_ZLIB:
        return predict_by_delta(values)
    return predict_by_line(values) if scheme is Compression.PREDICTED_ZLIB else values


def decode_base64(text: bytes) -> bytes:
    """
    Raises:
        FormatError: not base64.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        try:
            return binascii.a2b_base64(text.translate(None, b" \t\r\n"), strict_mode=True)
        except binascii.Error as error:
            raise FormatError(f"an array is no base64: {error}") from None


def inflate(data: bytes, size: int, *, exact: bool = True) -> bytes:
    """Bytes of a zlib stream, never more than one above ``size``.

    Raises:
        FormatError: damaged, or of another size: a bigger one, where not ``exact``.
    """
    if not data and not size:
        return b""
    _bound(size)
    stream = isal_zlib.decompressobj()
    try:
        made = stream.decompress(data, size + 1)
        # The checksum may stand behind the last byte that was asked for.
        complete = stream.eof or (not stream.decompress(stream.unconsumed_tail, 1) and stream.eof)
    except isal_zlib.error as error:  # type: ignore[misc]  # the stub has it as an instance
        raise FormatError(f"a zlib array is damaged: {error}") from None
    if not complete and len(made) <= size:
        raise FormatError("a zlib array is cut short")
    if len(made) > size or (exact and len(made) != size):
        raise FormatError(f"a zlib array does not have the {size:,} bytes that the file declares")
    return bytes(made)


def _unpack_zstd(data: bytes, most: int) -> bytes:
    import pyarrow as pa

    if not data:
        return b""
    _bound(most)
    try:
        with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
            made: bytes = stream.read(most + 1)
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"a zstd array is damaged: {error}") from None
    return made


def _bound(size: int) -> None:
    if not 0 <= size <= _MOST:
        raise FormatError(f"an array of {size:,} bytes: no spectrum has one")


def _value_type(number: int) -> np.dtype[Any]:
    found = VALUE_TYPES.get(number)
    if found is None:
        raise Unsupported(f"an array has values of type MS:{number}, which is not known here")
    return found


def _as_values(data: bytes, dtype: np.dtype[Any], length: int) -> Values:
    if len(data) != length * dtype.itemsize:
        raise FormatError(f"an array has {len(data):,} bytes, not those of {length:,} values of {dtype.itemsize}")
    return np.frombuffer(data, dtype)


def _checked(values: Values, length: int) -> Values:
    if len(values) != length:
        raise FormatError(f"an array has {len(values):,} values, but the file declares {length:,}")
    return values


def _unshuffle(data: bytes, width: int) -> bytes:
    if len(data) % width:
        raise FormatError(f"{len(data):,} bytes are no whole number of values")
    return np.frombuffer(data, np.uint8).reshape(width, -1).T.tobytes()


def predict_by_delta(values: Values) -> Values:
    """Undo the delta prediction of mzMLb: what is kept are differences to the value before, plus the first value.

    Source: Bhamber et al. 2021, doi:10.1021/acs.jproteome.0c00192. Each step rounds, hence one after the other.
    """
    out = values.copy()
    for place in range(2, len(out)):
        out[place] = out[place] + out[place - 1] - out[0]
    return out


def predict_by_line(values: Values) -> Values:
    """Undo the linear prediction of mzMLb: what is kept are differences to a line through the two values before."""
    out = values.copy()
    for place in range(2, len(out)):
        out[place] = out[place] + 2 * out[place - 1] - out[place - 2] - out[1]
    return out
