"""Columns of spectra or chromatograms, made of the text of their elements a batch at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.spectra.native_ids import scan_number
from lake.formats.spectra.token_reader import Item, TokenReader, Tokens
from lake.formats.spectra.tokens import ARRAY, PRECURSOR, PRODUCT, SELECTED_ION, START, Token, unescaped

__all__ = ["Batch", "cut_places", "read_items"]

I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]
Columns = dict[str, NDArray[Any]]
_Read = Callable[[Token], float]

_DTYPES = (1000519, 1000521, 1000522, 1000523, 1001479)
_COMPRESSIONS = (1000574, 1000576, 1002312, 1002313, 1002314, 1002746, 1002747, 1002748, 1003780)
_NO_KIND = frozenset(
    (*_DTYPES, *_COMPRESSIONS, 1002841, 1002842, 1002843, 1003088, 1003089, 1003090, *range(11_000_100, 11_000_106))
)
_IMS_OFFSET, _IMS_POINTS, _IMS_LENGTH = 11_000_102, 11_000_103, 11_000_104
# fmt: off
_ACTIVATIONS = frozenset((
    1000044, 1000133, 1000134, 1000135, 1000136, 1000242, 1000250, 1000262, 1000282, 1000422, 1000433, 1000435,
    1000598, 1000599, 1001880, 1002000, 1002472, 1002481, 1002631, 1002678, 1002679, 1003181, 1003182, 1003246,
    1003247, 1003294,
))
"""MS:1000044 and its children."""
_CHROMATOGRAM_TYPES = frozenset((
    1000235, 1000627, 1000628, 1000789, 1000810, 1000811, 1000812, 1000813, 1001472, 1001473, 1001474, 1002715,
    1002716, 1003019, 1003020,
))
"""Children of MS:1000626."""
# fmt: on
_TIMES = {
    b"UO:0000031": Decimal(60),
    b"MS:1000038": Decimal(60),
    b"UO:0000032": Decimal(3600),
    b"UO:0000028": Decimal("0.001"),
}
"""Units of time in seconds, by accession; MS:1000038 is the minute of mzML 1.0."""
_SECONDS = b"UO:0000010"
_SELECTED_MZ, _TARGET_MZ, _OLD_MZ = 1000744, 1000827, 1000040
_POSSIBLE_CHARGE = 1000633

_ID = re.compile(rb"(?:^|\s)id=\"([^\"]*)\"")
_POINTS = re.compile(rb"(?:^|\s)defaultArrayLength=\"\s*(\d{1,18})\s*\"")
_OWN_POINTS = re.compile(rb"(?:^|\s)arrayLength=\"\s*(\d{1,18})\s*\"")
_ARRAY_TAG = re.compile(rb"<binaryDataArray[\s>]")


class Batch(NamedTuple):
    """Columns of some elements, by the names of `lake.formats.spectra.table`."""

    rows: Columns
    arrays: Columns
    further: Columns
    counts: I64
    """Arrays of each element."""


class _Tokens:
    """Tokens of a batch with what each of them belongs to."""

    def __init__(self, found: Tokens, encoding: str) -> None:
        tokens, numbers, counts = found
        self.tokens = tokens
        self.numbers = numbers
        self.encoding = encoding
        self.starts = np.cumsum(np.r_[0, counts])[:-1].astype(np.int64)
        self.row = np.repeat(np.arange(len(counts)), counts)
        place = np.arange(len(tokens))
        tags = numbers < 0
        owner = np.maximum.accumulate(np.where(tags, place, 0)) if len(tokens) else place
        self.context = numbers[owner] if len(tokens) else numbers
        """Number of the last tag at or before each token."""
        before = self.context[np.maximum(place - 1, 0)] if len(tokens) else numbers
        self.precursor = np.cumsum(numbers == PRECURSOR) - 1
        """Number, in the batch, of the last precursor."""
        new_ion = (numbers == PRECURSOR) | ((numbers == SELECTED_ION) & (before == SELECTED_ION))
        self.ion = np.cumsum(new_ion) - 1
        """Number of the last pair of precursor and selected ion; a precursor without ions is one, too."""
        self.ion_starts = np.flatnonzero(new_ion)
        self.array = np.cumsum(numbers == ARRAY) - 1
        self.array_starts = np.flatnonzero(numbers == ARRAY)
        self.in_precursor = (self.context == PRECURSOR) | (self.context == SELECTED_ION)

    def reals(self, number: int, where: Bools, owner: I64, count: int, read: _Read | None = None) -> Any:
        """The first value of each owner, NaN where it has none."""
        out = np.full(count, np.nan)
        places = self.first(self.numbers == number, where, owner)
        if len(places):
            chosen = [self.tokens[place] for place in places.tolist()]
            out[owner[places]] = _numbers(chosen) if read is None else list(map(read, chosen))
        return out

    def integers(self, number: int, where: Bools, owner: I64, count: int, absent: int, kind: Any) -> Any:
        values = self.reals(number, where, owner, count)
        limits = np.iinfo(kind)
        good = (values >= limits.min) & (values <= limits.max) & (values == np.floor(values))
        return np.where(good, np.where(good, values, 0), absent).astype(kind)

    def first(self, match: Bools, where: Bools, owner: I64) -> I64:
        """Places of the first token of each owner among those that match."""
        places = np.flatnonzero(match & where)
        if not len(places):
            return places
        owners = owner[places]
        return places[np.r_[True, owners[1:] != owners[:-1]]]

    def texts(self, number: int, where: Bools, owner: I64, count: int) -> Any:
        out = np.full(count, None, object)
        known: dict[bytes, str] = {}
        for place in self.first(self.numbers == number, where, owner).tolist():
            value = self.tokens[place][1]
            text = known.get(value)
            if text is None:
                text = known[value] = unescaped(value, self.encoding)
            out[owner[place]] = text
        return out

    def accessions(self, among: frozenset[int], where: Bools, owner: I64, count: int) -> Any:
        """Accessions of a set, joined by commas."""
        out = np.full(count, None, object)
        for place in np.flatnonzero(np.isin(self.numbers, list(among)) & where).tolist():
            accession = f"MS:{self.numbers[place]:07d}"
            mine = out[owner[place]]
            out[owner[place]] = accession if mine is None else f"{mine},{accession}"
        return out


def _numbers(tokens: Sequence[Token]) -> list[float]:
    try:
        return [float(token[1]) for token in tokens]
    except ValueError:
        return list(map(_real, tokens))


def _real(token: Token) -> float:
    try:
        return float(token[1])
    except ValueError:
        return np.nan


def _time(token: Token) -> float:
    """Seconds. Minutes are multiplied as decimals: 3.3389343 min are 200.336058 s, not 200.33605799999998."""
    scale = _TIMES.get(token[2])
    if scale is None:
        return _real(token)
    try:
        return float(Decimal(token[1].decode("ascii", "replace").strip()) * scale)
    except (InvalidOperation, ValueError):
        return np.nan


def _milliseconds(token: Token) -> float:
    value = _real(token)
    return value * 1000 if token[2] == _SECONDS else value


def read_items(
    items: Sequence[Item], reader: TokenReader, encoding: str, *, tokens: list[list[Token]] | None = None
) -> Batch:
    """Columns of a batch of elements of one kind.

    Args:
        items: spectra, or chromatograms.
        reader: of the file's tokens.
        encoding: of the file's text.
        tokens: those of each element, where they were read by other means.

    Raises:
        FormatError: an element begins inside of another.
    """
    found = _Tokens(reader.read(items) if tokens is None else reader.numbered(tokens), encoding)
    begun = np.bincount(found.row[found.numbers == START], minlength=len(items))
    if (begun != 1).any():
        place = items[int(np.argmax(begun != 1))].offset
        raise FormatError(f"the spectrum or chromatogram at byte {place} is not closed: the file is damaged")
    chromatograms = bool(items) and items[0].text.startswith(b"<chromatogram")
    rows = _places(items, found, encoding)
    arrays, array_counts = _arrays(items, found)
    ions = _ions(found)
    if chromatograms:
        return Batch(rows | _traces(found, ions, len(items)), arrays, {}, array_counts)
    rows["scan"] = np.array([scan_number(text) for text in rows["native_id"]], np.int64)
    further: Columns = {}
    _spread(ions, found, len(items), rows, further)
    return Batch(rows | _spectra(found, len(items)), arrays, further, array_counts)


def _places(items: Sequence[Item], found: _Tokens, encoding: str) -> Columns:
    heads = [found.tokens[place][4] for place in found.starts.tolist()]
    ids = np.empty(len(items), object)
    ids[:] = [unescaped(match[1], encoding) if (match := _ID.search(head)) else "" for head in heads]
    points = [int(match[1]) if (match := _POINTS.search(head)) else -1 for head in heads]
    return {
        "native_id": ids,
        "n_points": np.array(points, np.int64),
        "offset": np.array([item.offset for item in items], np.int64),
        "length": np.array([item.length for item in items], np.int64),
        "header_length": np.array([min(item.header, (1 << 31) - 1) for item in items], np.int32),
    }


def _spectra(found: _Tokens, count: int) -> Columns:
    row, own = found.row, found.context == START
    loose = (found.context != ARRAY) & (found.context != PRODUCT)

    def reals(number: int, read: _Read | None = None, where: Bools = own) -> Any:
        return found.reals(number, where, row, count, read)

    mobility = reals(1002815, where=loose)
    drift = reals(1002476, where=loose)
    return {
        "ms_level": found.integers(1000511, own, row, count, 0, np.int16),
        "rt": reals(1000016, _time),
        "polarity": _polarity(found, count),
        "centroided": _either(found, own, 1000127, 1000128, count, (1, 0), -1),
        "tic": reals(1000285),
        "base_peak_mz": reals(1000504),
        "base_peak_intensity": reals(1000505),
        "low_mz": reals(1000528),
        "high_mz": reals(1000527),
        "ion_mobility": np.where(np.isnan(mobility), drift, mobility),
        "filter_string": found.texts(1000512, own, row, count),
        "injection_time": reals(1000927, _milliseconds),
        "x": found.integers(11_000_050, own, row, count, -1, np.int32),
        "y": found.integers(11_000_051, own, row, count, -1, np.int32),
        "z": found.integers(11_000_052, own, row, count, -1, np.int32),
    }


def _polarity(found: _Tokens, count: int) -> Any:
    return _either(found, found.context != ARRAY, 1000130, 1000129, count, (1, -1), 0)


def _either(
    found: _Tokens, where: Bools, one: int, other: int, count: int, values: tuple[int, int], absent: int
) -> Any:
    out = np.full(count, absent, np.int8)
    places = found.first((found.numbers == one) | (found.numbers == other), where, found.row)
    out[found.row[places]] = np.where(found.numbers[places] == one, *values)
    return out


def _traces(found: _Tokens, ions: Columns, count: int) -> Columns:
    product = found.reals(1000827, found.context == PRODUCT, found.row, count)
    mine = _first_rows(ions["row"])
    spread = {name: np.full(count, np.nan) for name in ("precursor_mz", "collision_energy")}
    # The window of a transition is what the instrument was told; the ion of a precursor is seldom given.
    aimed = np.where(np.isnan(ions["isolation_mz"]), ions["precursor_mz"], ions["isolation_mz"])
    spread["precursor_mz"][ions["row"][mine]] = aimed[mine]
    spread["collision_energy"][ions["row"][mine]] = ions["collision_energy"][mine]
    kinds = found.accessions(_CHROMATOGRAM_TYPES, found.context == START, found.row, count)
    return {**spread, "product_mz": product, "type": kinds, "polarity": _polarity(found, count)}


def _ions(found: _Tokens) -> Columns:
    """A row for each selected ion, and for each precursor without one; ``row`` is that of its spectrum."""
    count, where = len(found.ion_starts), found.in_precursor
    owner = found.precursor[found.ion_starts]
    precursors = int(found.precursor[-1]) + 1 if len(found.tokens) else 0

    def window(number: int) -> Any:
        return found.reals(number, where, found.precursor, precursors)[owner]

    target, mz = window(_TARGET_MZ), found.reals(_SELECTED_MZ, where, found.ion, count)
    if (found.numbers == _OLD_MZ).any():
        # What mzML 1.0 has in place of both.
        old = found.reals(_OLD_MZ, found.context == PRECURSOR, found.precursor, precursors)[owner]
        target = np.where(np.isnan(target), old, target)
        mz = np.where(np.isnan(mz), found.reals(_OLD_MZ, found.context == SELECTED_ION, found.ion, count), mz)
    activation = found.accessions(_ACTIVATIONS, where, found.precursor, precursors)
    ions = {
        "row": found.row[found.ion_starts],
        "precursor_mz": mz,
        "precursor_charge": found.integers(1000041, where, found.ion, count, 0, np.int16),
        "precursor_intensity": found.reals(1000042, where, found.ion, count),
        "isolation_mz": target,
        "isolation_low": target - window(1000828),
        "isolation_high": target + window(1000829),
        "activation": activation[owner],
        "collision_energy": window(1000045),
    }
    return _with_possible_charges(ions, found)


def _with_possible_charges(ions: Columns, found: _Tokens) -> Columns:
    """Behind an ion of which charges are but possible, a row for each of them."""
    places = np.flatnonzero((found.numbers == _POSSIBLE_CHARGE) & found.in_precursor)
    if not len(places):
        return ions
    charges = np.array([_real(found.tokens[place]) for place in places.tolist()])
    known = (charges >= 1) & (charges <= np.iinfo(np.int16).max)
    owners, charges = found.ion[places[known]], charges[known].astype(np.int16)
    origin = np.concatenate((np.arange(len(found.ion_starts)), owners))
    order = np.argsort(origin, kind="stable")
    ions = ions | {"precursor_charge": np.concatenate((ions["precursor_charge"], charges))}
    return {name: (values if name == "precursor_charge" else values[origin])[order] for name, values in ions.items()}


def _first_rows(rows: I64) -> Bools:
    return np.r_[True, rows[1:] != rows[:-1]] if len(rows) else np.zeros(0, np.bool_)


def _spread(ions: Columns, found: _Tokens, count: int, rows: Columns, further: Columns) -> None:
    """The first ion of a spectrum into its row, others into ``further``."""
    mine = _first_rows(ions["row"])
    for name, values in ions.items():
        further[name] = values[~mine]
        if name != "row":
            absent: Any = {"O": None, "f": np.nan}.get(values.dtype.kind, 0)
            rows[name] = np.full(count, absent, values.dtype)
            rows[name][ions["row"][mine]] = values[mine]


def _arrays(items: Sequence[Item], found: _Tokens) -> tuple[Columns, I64]:
    count, where = len(found.array_starts), found.context == ARRAY
    numbers, array = found.numbers, found.array
    owner = found.row[found.array_starts]
    counts = np.bincount(owner, minlength=len(items))
    offset, length = _spans(items, counts)
    points = np.full(count, -1, np.int64)
    for number, place in enumerate(found.array_starts.tolist()):
        attributes = found.tokens[place][4]
        if b"arrayLength" in attributes and (match := _OWN_POINTS.search(attributes)):
            points[number] = int(match[1])
    named = where & (numbers > 0) & ~np.isin(numbers, list(_NO_KIND)) & (numbers < 10_000_000)

    def choice(among: Bools) -> Any:
        out = np.zeros(count, np.int32)
        places = found.first(among, where, array)
        out[array[places]] = numbers[places]
        return out

    columns = {
        "kind": choice(named),
        "offset": offset,
        "length": length,
        "dtype": choice(np.isin(numbers, _DTYPES)),
        "compression": choice(np.isin(numbers, _COMPRESSIONS)),
        "points": points,
    }
    for name, number in (("offset", _IMS_OFFSET), ("length", _IMS_LENGTH), ("points", _IMS_POINTS)):
        if (numbers == number).any():
            external = found.integers(number, where, array, count, -1, np.int64)
            columns[name] = np.where(external >= 0, external, columns[name])
    return columns, counts.astype(np.int64)


def _spans(items: Sequence[Item], counts: I64) -> tuple[I64, I64]:
    """Where the base64 of every array lies; arrays without any have a length of 0."""
    spans: list[tuple[int, int]] = []
    for item, count in zip(items, counts.tolist(), strict=True):
        if len(item.arrays) == count:
            spans += item.arrays
            continue
        tags = [match.start() for match in _ARRAY_TAG.finditer(item.text)]
        bounds = [*tags, len(item.text) + 1]
        mine = dict(zip(item.cuts, item.arrays, strict=True))
        for tag in range(count):
            low, high = (bounds[tag], bounds[tag + 1]) if tag < len(tags) else (0, 0)
            spans.append(next((mine[cut] for cut in item.cuts if low < cut <= high), (item.offset, 0)))
    table = np.array(spans, np.int64).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy()


def cut_places(pieces: Sequence[bytes]) -> tuple[int, ...]:
    """Where base64 was between pieces of text."""
    return tuple(accumulate(map(len, pieces[:-1])))
