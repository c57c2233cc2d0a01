"""Small documents from outside of the lake, read whole within a bound."""

from __future__ import annotations

import codecs
from pathlib import Path

from lake.errors import FormatError, InvalidInput, Unreadable

__all__ = ["decode_document", "read_document"]

# UTF-32 starts with the mark of UTF-16, but nothing writes it.
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_document(path: Path, limit: int) -> bytes:
    """
    Raises:
        Unreadable: no such file, or it cannot be read.
        InvalidInput: it has more than ``limit`` bytes.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise Unreadable(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise InvalidInput(f"{path} has more than {limit >> 20} MiB: split it")
    return data


def decode_document(data: bytes, name: str) -> str:
    """The text of a document in UTF-8, or in UTF-16 with a byte order mark as spreadsheets write it.

    Raises:
        FormatError: it is in neither, with the line where that shows.
    """
    if data.startswith(b"PK\3\4"):
        raise FormatError(f"{name} is a workbook or a ZIP archive: save the sheet as CSV in UTF-8")
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        found = f"byte 0x{data[error.start]:02X}" if error.start < len(data) else "a cut character"
        kind = "UTF-16" if encoding == "utf-16" else "UTF-8"
        raise FormatError(f"{name}, line {line}: {found} is not {kind}: save the file as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise FormatError(f"{name}, line {line}: a NUL character: this is no text in UTF-8: save the file as UTF-8")
    return text
