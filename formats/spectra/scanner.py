"""One pass over an mzML: where every spectrum and chromatogram lies, and what their headers say.

The pass looks for a few words and never at base64. ``<`` begins markup wherever it stands in well-formed XML, but in
comments, CDATA and processing instructions: these are blanked as soon as they are met.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from lake.errors import FormatError
from lake.formats.spectra.items import cut_places
from lake.formats.spectra.mzml_head import MzmlHead, read_head
from lake.formats.spectra.own_index import OwnIndex
from lake.formats.spectra.run_builder import RunBuilder
from lake.formats.spectra.table import Layout, ListSpan, RunTable
from lake.formats.spectra.token_reader import Item, TokenReader

__all__ = ["LARGEST_ITEM", "MzmlScanner", "tag_end"]

LARGEST_ITEM = 128 << 20
_PATIENCE = 8 << 20
"""Bytes without an end from which on they are looked at anew only when they have doubled."""
"""Bytes that one spectrum may have, or all that comes before the first."""
_BATCH_ITEMS = 1024
_BATCH_BYTES = 2 << 20

_NAME = re.compile(rb"<(/?[A-Za-z_][^\s<>/]*)")
# Possessive: of a tag without an end no shorter part is tried.
_START_TAG = re.compile(rb"<[^\s<>/]++(?:[^<>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
_NEXT = re.compile(rb"<binary(?:\s*|\s[^<>]*[^<>/])>|</(?:spectrum|chromatogram)(?=[\s>L])")
_HIDDEN = (
    (b"<!--", b"-->"),
    (b"<![CDATA[", b"]]>"),
    (b"<?", b"?>"),
)
_COUNT = re.compile(rb"\scount\s*=\s*[\"']\s*(\d{1,18})")
_LISTS = {b"spectrumList": "spectra", b"chromatogramList": "chromatograms"}
_ITEMS = {b"spectrum": b"</spectrum", b"chromatogram": b"</chromatogram"}


def tag_end(text: bytes, start: int) -> int:
    """Behind the whole tag at ``start``."""
    found = _START_TAG.match(text, start)
    return found.end() if found is not None else text.index(b">", start) + 1


class _More(Exception):
    """What is looked at goes on behind the bytes at hand."""


class _OpenList(NamedTuple):
    tag: int
    content: int
    stated: int


class MzmlScanner:
    """Reads the bytes of one mzML as they go by.

    Args:
        general: read every header by the general reader of XML, not by the fast one.
    """

    def __init__(self, *, general: bool = False) -> None:
        self._general = general
        self._buffer = bytearray()
        self._base = 0
        """Offset in the file of the first byte of the buffer."""
        self._at = 0
        """Where in the buffer the reading goes on."""
        self._wanted = 0
        """Bytes that must be in the buffer before it is worth looking again."""
        self._head: MzmlHead | None = None
        self._builder: RunBuilder | None = None
        self._root = self._mzml = self._stop = self._run_close = -1
        self._indexed = False
        self._lists: dict[str, ListSpan] = {}
        self._open: tuple[str, _OpenList] | None = None
        self._items: list[Item] = []
        self._item_bytes = 0
        self._spectra = True
        self._index = OwnIndex()
        self._problem: str | None = None

    def update(self, piece: bytes | bytearray | memoryview) -> list[int]:
        """The next bytes; returns where spectra and chromatograms end that are whole now, ascending file offsets."""
        self._buffer += piece
        return [] if len(self._buffer) < self._wanted else self._follow()

    def _follow(self) -> list[int]:
        ends: list[int] = []
        self._wanted = 0
        if self._problem is None:
            try:
                self._read(ends)
            except _More:
                unread = len(self._buffer) - self._at
                self._wanted = 2 * unread if unread > _PATIENCE else 0
                if len(self._buffer) - (self._at if self._head is not None else 0) > LARGEST_ITEM:
                    self._problem = f"what begins at byte {self._base + self._at} is longer than {LARGEST_ITEM} bytes"
            except FormatError as error:
                self._problem = str(error)
        if self._problem is not None:
            self._at = len(self._buffer)
        elif self._head is None:
            return ends
        del self._buffer[: self._at]
        self._base += self._at
        self._at = 0
        return ends

    @property
    def whole(self) -> bool:
        """After the last piece: the file was followed to the end of its mzML."""
        return self._problem is None and self._stop >= 0 and self._head is not None

    def finish(self) -> RunTable:
        """After the last piece: all that was found.

        Raises:
            FormatError: the file is cut off or damaged; says where.
        """
        if self._wanted:
            self._follow()
        if self._problem is not None:
            raise FormatError(self._problem)
        if self._head is None or self._builder is None:
            raise FormatError("the file has no <run>: it is cut off, or not mzML")
        if self._stop < 0:
            raise FormatError(
                f"the file ends at byte {self._base + len(self._buffer)} before </mzML>: it is cut off behind "
                f"{self._builder.count + len(self._items)} spectra or chromatograms"
            )
        self._flush()
        run = self._builder.finish(self._head.run, self._layout(self._head, None))
        if self._index.found:
            ok = self._index.agrees(run.spectra.offset, run.chromatograms.offset)
            assert run.layout is not None
            return RunTable(run.run, run.spectra, run.chromatograms, run.layout._replace(own_index_ok=ok))
        return run

    def _layout(self, head: MzmlHead, own_index_ok: bool | None) -> Layout:
        assert self._builder is not None
        return Layout(
            head.encoding,
            self._root,
            self._mzml,
            self._stop,
            self._run_close,
            self._indexed,
            own_index_ok,
            head.version,
            self._lists.get("spectra"),
            self._lists.get("chromatograms"),
            "generic" if self._builder.general else "fast",
        )

    # -- structure ----------------------------------------------------------------------------------------------
    def _read(self, ends: list[int]) -> None:
        """Follow the tags between spectra; `_at` is behind what has been read."""
        buffer = self._buffer
        while True:
            if self._stop >= 0:
                self._at = self._index.update(buffer, self._at, self._base)
                return
            start = buffer.find(b"<", self._at)
            if start < 0:
                if self._head is not None:
                    self._at = len(buffer)
                raise _More
            if self._head is not None:
                self._at = start
            found = _NAME.match(buffer, start)
            if found is None:
                self._hide(start)
                continue
            if found.end() == len(buffer):
                raise _More
            name = found[1]
            if name in _ITEMS and self._head is not None:
                self._at = self._item(start, _ITEMS[name])
                ends.append(self._base + self._at)
            else:
                self._at = self._structure(name, start)

    def _structure(self, name: bytes, start: int) -> int:
        """One tag that is not of a spectrum; returns what is behind it."""
        tag = _START_TAG.match(self._buffer, start) if name[:1] != b"/" else None
        stop = tag.end() if tag is not None else self._buffer.find(b">", start) + 1
        if not stop or (tag is None and name[:1] != b"/"):
            raise _More
        place = self._base + start
        if self._root < 0:
            self._root = place
            self._indexed = name == b"indexedmzML"
        if name == b"mzML" and self._mzml < 0:
            self._mzml = place
        elif name == b"run" and self._head is None:
            self._head = read_head(bytes(self._buffer[:stop]))
            self._builder = RunBuilder(TokenReader(self._head.groups, general=self._general), self._head.encoding)
        elif name in _LISTS and tag is not None:
            counted = _COUNT.search(tag[0])
            opened = _OpenList(place, self._base + stop, int(counted[1]) if counted else -1)
            if tag[0].endswith(b"/>"):
                self._lists[_LISTS[name]] = ListSpan(*opened[:2], opened.content, opened.content, opened.stated)
            else:
                self._open = _LISTS[name], opened
        elif name[:1] == b"/" and name[1:] in _LISTS:
            if self._open is None or self._open[0] != _LISTS[name[1:]]:
                raise FormatError(f"the end tag at byte {place} closes a list that is not open")
            opened = self._open[1]
            self._lists[self._open[0]] = ListSpan(opened.tag, opened.content, place, self._base + stop, opened.stated)
            self._open = None
        elif name == b"/run":
            self._run_close = place
        elif name == b"/mzML":
            if self._open is not None:
                raise FormatError(f"</mzML> at byte {place} comes inside of a list: the file is damaged")
            self._stop = self._base + stop
        return stop

    def _hide(self, start: int) -> None:
        """Blank what is no element: a comment, CDATA, a processing instruction or a declaration."""
        buffer = self._buffer
        if len(buffer) - start < 2 or (len(buffer) - start == 2 and buffer.endswith(b"</")):
            raise _More
        for opening, closing in _HIDDEN:
            head = bytes(buffer[start : start + len(opening)])
            if head == opening:
                stop = buffer.find(closing, start + len(opening))
                if stop < 0:
                    raise _More
                stop += len(closing)
                if self._head is None and self._root < 0 and opening == b"<?":
                    # The XML declaration tells the encoding.
                    self._at = stop
                    return
                buffer[start:stop] = b" " * (stop - start)
                return
            if opening.startswith(head) and start + len(head) == len(buffer):
                raise _More
        if buffer[start : start + 2] == b"<!" and self._root < 0:
            raise FormatError("the file has a document type declaration, which mzML does not have")
        raise FormatError(f"what begins at byte {self._base + start} is no XML: the file is damaged")

    # -- spectra ------------------------------------------------------------------------------------------------
    def _item(self, start: int, closing: bytes) -> int:
        """One spectrum or chromatogram; returns what is behind it."""
        buffer = self._buffer
        find = buffer.find
        stop = find(b">", start) + 1
        if not stop:
            raise _More
        pieces: list[bytes] = []
        arrays: list[tuple[int, int]] = []
        base = self._base
        if buffer[stop - 2] == 47:  # a slash: it may close itself
            tag = _START_TAG.match(buffer, start)
            if tag is None:
                raise _More
            stop = tag.end() if tag[0].endswith(b"/>") else 0
            pieces = [tag[0]] if stop else []
        else:
            stop = 0
        at = start
        while not stop:
            found = _NEXT.search(buffer, at)
            if found is None:
                self._hide_before(at, len(buffer))
                raise _More
            until, array = found.span()
            piece = bytes(buffer[at:until])
            if (b"!" in piece or b"?" in piece) and self._hide_before(at, until):
                continue
            pieces.append(piece)
            if buffer[array - 1] != 62:  # not <binary>
                if not buffer.startswith(closing, until) or buffer[array : array + 1] == b"L":
                    raise FormatError(f"the spectrum or chromatogram at byte {base + start} is not closed")
                stop = find(b">", array) + 1
                if not stop:
                    raise _More
                break
            close = find(b"<", array)
            if close < 0 or close + 1 == len(buffer):
                raise _More
            if bytes(buffer[close + 1 : close + 2]) in (b"!", b"?"):
                self._hide(close)
                pieces.pop()
                continue
            arrays.append((base + array, close - array))
            at = close
        first = pieces[0]
        header = first.rfind(b"<binaryDataArrayList")
        text = b"".join(pieces)
        item = Item(
            base + start,
            stop - start,
            header if header >= 0 else stop - start,
            text,
            tuple(arrays),
            cut_places(pieces),
        )
        self._keep(item, spectrum=closing == b"</spectrum")
        return stop

    def _hide_before(self, at: int, until: int) -> bool:
        """Blank the first comment or the like in a part of the buffer; whether there was one."""
        buffer = self._buffer
        places = [place for place in (buffer.find(b"<!", at, until), buffer.find(b"<?", at, until)) if place >= 0]
        if not places:
            return False
        self._hide(min(places))
        return True

    def _keep(self, item: Item, *, spectrum: bool) -> None:
        if spectrum != self._spectra and self._items:
            self._flush()
        self._spectra = spectrum
        self._items.append(item)
        self._item_bytes += len(item.text)
        if len(self._items) >= _BATCH_ITEMS or self._item_bytes >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._items and self._builder is not None:
            self._builder.add(self._items, spectra=self._spectra)
        self._items = []
        self._item_bytes = 0
