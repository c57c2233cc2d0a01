"""mzML read by an XML parser: slower than `scanner` by a factor of ten, and what that is judged by.

Whatever is not well-formed is refused, and every value comes from the parser (expat).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from xml.parsers import expat

import numpy as np

from lake.errors import FormatError
from lake.formats.spectra.mzml_head import MzmlHead, read_head
from lake.formats.spectra.own_index import OwnIndex
from lake.formats.spectra.run_builder import RunBuilder
from lake.formats.spectra.scanner import tag_end
from lake.formats.spectra.table import Layout, ListSpan, RunTable
from lake.formats.spectra.token_reader import Item, TokenReader
from lake.formats.spectra.tokens import Token, param_token, tag_token

__all__ = ["difference", "scan_strictly"]

_LISTS = {"spectrumList": "spectra", "chromatogramList": "chromatograms"}
_ITEMS = ("spectrum", "chromatogram")
_KEPT = 1 << 20
"""Bytes behind the current place that are kept at least: longer than any tag."""


def _ends(text: bytes, start: int, name: str) -> bool:
    """Whether the end tag of an element begins at ``start``."""
    written = f"</{name}".encode()
    behind = start + len(written)
    return text.startswith(written, start) and text[behind : behind + 1] in (b">", b" ", b"\t", b"\r", b"\n")


class _Parser:
    """The state of one parse."""

    def __init__(self) -> None:
        self._expat = expat.ParserCreate()
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.StartDoctypeDeclHandler = self._doctype
        self._recent = b""
        self._base = 0
        """Offset of the first byte of what is kept."""
        self._head: MzmlHead | None = None
        self._builder: RunBuilder | None = None
        self._places: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._contents: dict[str, int] = {}
        self._lists: dict[str, ListSpan] = {}
        self._item = self._header = self._binary = -1
        self._arrays: list[tuple[int, int]] = []
        self._tokens: list[Token] = []
        self._items: list[Item] = []
        self._item_tokens: list[list[Token]] = []
        self._index = OwnIndex()
        self._tail = bytearray()
        self._tail_base = -1

    def feed(self, piece: bytes, *, last: bool = False) -> None:
        """The next bytes.

        Raises:
            FormatError: not well-formed.
        """
        kept = self._recent if self._head is None else self._recent[-_KEPT:]
        self._base += len(self._recent) - len(kept)
        self._recent = kept + piece
        try:
            self._expat.Parse(piece, last)
        except expat.ExpatError as error:
            raise FormatError(f"the file is not well-formed XML: {error}") from None
        except FormatError:
            raise
        except (LookupError, ValueError) as error:
            # What Python says of an encoding that it does not know, or that has several bytes a character.
            raise FormatError(f"the file is in an encoding that cannot be read: {error}") from None
        if self._tail_base >= 0:
            if not self._tail:
                self._tail += self._recent[self._tail_base - self._base :]
            else:
                self._tail += piece
            done = self._index.update(self._tail, 0, self._tail_base)
            del self._tail[:done]
            self._tail_base += done

    def _doctype(self, *_: object) -> None:
        raise FormatError("the file has a document type declaration, which mzML does not have")

    def _behind(self, place: int) -> int:
        """Behind the tag at a place."""
        return self._base + tag_end(self._recent, place - self._base)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        place = self._expat.CurrentByteIndex
        if not self._places:
            self._places["root"] = place
        if name in ("mzML", "indexedmzML"):
            self._places.setdefault(name, place)
        elif name == "run" and self._head is None:
            self._head = read_head(self._recent[: self._behind(place)])
            self._builder = RunBuilder(TokenReader(self._head.groups, general=True), self._head.encoding)
        elif name in _LISTS:
            self._places[name] = place
            count = attributes.get("count", "").strip()
            self._counts[name] = int(count) if count.isdecimal() else -1
            self._contents[name] = self._behind(place)
        elif name in _ITEMS:
            self._item, self._header, self._arrays, self._tokens = place, -1, [], []
        elif name == "binaryDataArrayList" and self._header < 0:
            self._header = place
        elif name == "binaryDataArray":
            self._arrays.append((self._item, 0))
        elif name == "binary":
            self._binary = self._behind(place)
        if self._item >= 0:
            self._take(name, attributes)

    def _take(self, name: str, attributes: dict[str, str]) -> None:
        assert self._head is not None
        if name == "referenceableParamGroupRef":
            self._tokens += self._head.groups.get(attributes.get("ref", "").encode(self._head.encoding, "replace"), ())
            return
        written = {key.encode(): self._escaped(value) for key, value in attributes.items()}
        token = param_token(name.encode(), written) or tag_token(name.encode(), written)
        if token is not None:
            self._tokens.append(token)

    def _escaped(self, value: str) -> bytes:
        assert self._head is not None
        return value.replace("&", "&amp;").encode(self._head.encoding, "xmlcharrefreplace")

    def _end(self, name: str) -> None:
        place = self._expat.CurrentByteIndex
        # The end of an element that closes itself is reported behind its tag.
        tagged = _ends(self._recent, place - self._base, name)
        stop = self._behind(place) if tagged else place
        if name == "binary" and self._arrays:
            if tagged:
                self._arrays[-1] = self._binary, place - self._binary
        elif name in _ITEMS and self._item >= 0:
            self._close(name, stop)
        elif name in _LISTS:
            self._flush()
            tag = self._places[name]
            content = self._contents[name]
            close = place if tagged else content
            self._lists[_LISTS[name]] = ListSpan(tag, content, close, stop, self._counts[name])
        elif name == "run":
            self._places["/run"] = place
        elif name == "mzML":
            self._places["/mzML"] = self._tail_base = stop

    def _close(self, name: str, stop: int) -> None:
        start, header = self._item, self._header
        if header < 0:
            header = stop
        text = f"<{name}".encode()
        self._items.append(Item(start, stop - start, header - start, text, tuple(self._arrays), ()))
        self._item_tokens.append(self._tokens)
        self._item = -1

    def _flush(self) -> None:
        if self._items and self._builder is not None:
            spectra = self._items[0].text == b"<spectrum"
            self._builder.add(self._items, spectra=spectra, tokens=self._item_tokens)
        self._items, self._item_tokens = [], []

    def finish(self) -> RunTable:
        """Everything.

        Raises:
            FormatError: not well-formed, or no mzML.
        """
        self.feed(b"", last=True)
        places = self._places
        if self._head is None or self._builder is None or "/mzML" not in places:
            raise FormatError("the file has no <run>: it is not mzML")
        layout = Layout(
            self._head.encoding,
            places["root"],
            places["mzML"],
            places["/mzML"],
            places["/run"],
            "indexedmzML" in places,
            None,
            self._head.version,
            self._lists.get("spectra"),
            self._lists.get("chromatograms"),
            "strict",
        )
        run = self._builder.finish(self._head.run, layout)
        if not self._index.found:
            return run
        ok = self._index.agrees(run.spectra.offset, run.chromatograms.offset)
        return RunTable(run.run, run.spectra, run.chromatograms, layout._replace(own_index_ok=ok))


def scan_strictly(pieces: Iterable[bytes]) -> RunTable:
    """The table of an mzML that is not compressed.

    Raises:
        FormatError: not well-formed, or no mzML.
    """
    parser = _Parser()
    for piece in pieces:
        parser.feed(piece)
    return parser.finish()


def difference(one: RunTable, other: RunTable) -> str | None:
    """The first column in which two tables differ, or None where they say the same; how they were read may differ."""
    if one.run != other.run:
        return "run"
    if one.layout and other.layout and one.layout._replace(mode="") != other.layout._replace(mode=""):
        return "layout"
    parts = (
        ("spectra", one.spectra, other.spectra),
        ("arrays", one.spectra.arrays, other.spectra.arrays),
        ("further precursors", one.spectra.further, other.spectra.further),
        ("chromatograms", one.chromatograms, other.chromatograms),
        ("arrays of chromatograms", one.chromatograms.arrays, other.chromatograms.arrays),
    )
    for name, mine, theirs in parts:
        for field in fields(mine):
            left, right = getattr(mine, field.name), getattr(theirs, field.name)
            if isinstance(left, np.ndarray) and not np.array_equal(left, right, equal_nan=left.dtype.kind == "f"):
                return f"{field.name} of {name}"
    return None
