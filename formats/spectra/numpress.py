"""MS-Numpress: three lossy encodings of numbers, decoded.

Source: Teleman et al. 2014, doi:10.1074/mcp.O114.037879, and the reference implementation ms-numpress/ms-numpress.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lake.errors import FormatError

__all__ = ["decode_linear", "decode_pic", "decode_slof"]

Floats: TypeAlias = npt.NDArray[np.float64]

_FIXED_POINT = 8
"""Bytes of the factor with which numbers were multiplied: a big-endian double, unlike all that follows."""
_LEAST = 1e-9
"""Factors are about 1 or much greater; with one of nearly nothing, numbers would overflow."""
_BLOCK = 4096
"""Half-bytes that are looked at together: small enough to stay in the fastest memory."""
_KEPT = np.array([8 - kind if kind <= 8 else 16 - kind for kind in range(16)], np.uint8)
"""How many half-bytes of a number follow its first one."""


def decode_linear(data: bytes) -> Floats:
    """Linear prediction, MS:1002312: the second differences of fixed point numbers; for m/z and times.

    Raises:
        FormatError: cut short, or not of this encoding.
    """
    factor = _fixed_point(data)
    body = len(data) - _FIXED_POINT
    if body not in (0, 4) and body < 8:
        raise FormatError(f"{len(data)} bytes are too few for MS-Numpress linear prediction")
    first = np.frombuffer(data, "<u4", min(body // 4, 2), _FIXED_POINT).astype(np.int64)
    if body <= 8:
        return np.asarray(first / factor)
    residuals = _integers(data, 2 * (_FIXED_POINT + 8))
    # Each number is foretold by a straight line through the two before it: twice summed, what is left gives it back.
    steps = np.concatenate((first[1:] - first[:1], residuals)).cumsum()
    return np.asarray(np.concatenate((first[:1], first[0] + steps.cumsum())) / factor)


def decode_pic(data: bytes) -> Floats:
    """Positive integers, MS:1002313: counts, each rounded to a whole number.

    Raises:
        FormatError: cut short.
    """
    return np.asarray(_integers(data, 0) & 0xFFFFFFFF, np.float64)


def decode_slof(data: bytes) -> Floats:
    """Short logged floats, MS:1002314: logarithms in two bytes each; for intensities.

    Raises:
        FormatError: cut short.
    """
    factor = _fixed_point(data)
    if len(data) % 2:
        raise FormatError("an odd number of bytes is no array of MS-Numpress short logged floats")
    logarithms, places = np.unique(np.frombuffer(data, "<u2", offset=_FIXED_POINT), return_inverse=True)
    # Not numpy's exponential, which may differ in the last bit from that of the C library, which others use.
    try:
        return np.array([math.exp(value / factor) - 1 for value in logarithms.tolist()], np.float64)[places]
    except OverflowError:
        raise FormatError(f"MS-Numpress with a fixed point of {factor:g}: numbers too big") from None


def _fixed_point(data: bytes) -> float:
    if len(data) < _FIXED_POINT:
        raise FormatError(f"{len(data)} bytes are too few for the fixed point of MS-Numpress")
    factor = float(np.frombuffer(data, ">f8", 1)[0])
    if not _LEAST < factor < math.inf:
        raise FormatError(f"MS-Numpress with a fixed point of {factor:g}")
    return factor


def _integers(data: bytes, start: int) -> npt.NDArray[np.int64]:
    """Signed 32-bit integers of variable length, from half-byte ``start``.

    The first half-byte of each tells how many of its eight are left out: up to 8 zeros, or 1 to 7 of ones (8 less);
    the others follow, least significant first.
    """
    pairs = np.frombuffer(data, np.uint8)
    halves = np.empty(2 * len(pairs), np.uint8)
    halves[::2], halves[1::2] = pairs >> 4, pairs & 15
    halves = halves[start:]
    heads = _heads(halves)
    if len(heads) and heads[-1] == len(halves) - 1 and halves[-1] == 0:
        # What fills the last byte.
        heads = heads[:-1]
    kept = _KEPT[halves[heads]].astype(np.int64)
    if len(heads) and heads[-1] + kept[-1] >= len(halves):
        raise FormatError("an MS-Numpress array ends inside a number")
    values = np.where(halves[heads] > 8, np.left_shift(-1, 4 * kept), 0)
    for place in range(int(kept.max(initial=0))):
        has = kept > place
        values[has] |= halves[heads[has] + 1 + place].astype(np.int64) << (4 * place)
    return np.where(values >= 1 << 31, values - (1 << 32), values)


def _heads(halves: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Where numbers begin. Each tells only where the next one does: blocks of them are found by doubling the stride."""
    found: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
    start = 0
    while start < len(halves):
        kept = _KEPT[halves[start : start + _BLOCK]]
        size = len(kept)
        stride = np.append(np.minimum(np.arange(1, size + 1) + kept, size), size)
        heads = np.zeros(1, np.int64)
        while heads[-1] < size:
            heads = np.concatenate((heads, stride[heads]))
            stride = stride[stride]
        heads = heads[heads < size]
        found.append(start + heads)
        start += int(heads[-1]) + 1 + int(kept[heads[-1]])
    return np.concatenate(found)
