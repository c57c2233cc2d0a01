"""Pages of pictures, judged by Pillow."""

from __future__ import annotations

import gzip
import io
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lake.errors import FormatError
from lake.formats.facts.sources import IndexFile, fact_source
from lake.formats.reader import BytesReader

_SAMPLES = {"1": (1, 1), "L": (8, 1), "P": (8, 1), "I;16": (16, 1), "RGB": (8, 3), "RGBA": (8, 4), "CMYK": (8, 4)}
_SIZES = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=4)


def pages(form: str, data: bytes) -> list[dict[str, Any]]:
    source = fact_source(form)
    assert source is not None
    assert source.located(BytesReader(data), IndexFile(None, None, None, None, (0,), {})) == {}
    found = source.header(BytesReader(data))
    return found["images"].to_pylist() if found else []


def written(form: str, mode: str, sizes: list[tuple[int, int]], **options: Any) -> bytes:
    out = io.BytesIO()
    first, *others = [Image.new(mode, size) for size in sizes]
    first.save(out, form, **({"save_all": True, "append_images": others} if others else {}), **options)
    return out.getvalue()


@settings(max_examples=40, deadline=None)
@given(_SIZES, st.sampled_from(sorted(_SAMPLES)), st.booleans(), st.sampled_from(["raw", "tiff_lzw"]))
def test_pages_of_tiff(sizes: list[tuple[int, int]], mode: str, big: bool, compression: str) -> None:
    found = pages("TIFF", written("TIFF", mode, sizes, big_tiff=big, compression=compression))
    assert [(page["width"], page["height"]) for page in found] == sizes
    assert {(page["bits"], page["samples"]) for page in found} == {_SAMPLES[mode]}
    assert {page["compression"] for page in found} == {"none" if compression == "raw" else "LZW"}
    assert not any(page["reduced"] for page in found)


@pytest.mark.parametrize(
    ("form", "mode"),
    [("PNG", mode) for mode in ("1", "L", "P", "I;16", "RGB", "RGBA")] + [("JPEG", "L"), ("JPEG", "RGB")],
)
def test_png_and_jpeg(form: str, mode: str) -> None:
    data = written(form, mode, [(31, 7)], **({"exif": b"Exif\0\0" + b"x" * 500} if form == "JPEG" else {}))
    (page,) = pages(form, data)
    bits = page["bits"] if mode == "P" else _SAMPLES[mode][0]
    assert (page["width"], page["height"], page["bits"], page["samples"]) == (31, 7, bits, _SAMPLES[mode][1])
    assert pages(form, gzip.compress(data)) == []
    for length in range(24):
        with pytest.raises(FormatError):
            pages(form, data[:length])


def test_progressive_jpeg() -> None:
    (page,) = pages("JPEG", written("JPEG", "RGB", [(5, 6)], progressive=True))
    assert (page["width"], page["height"], page["compression"]) == (5, 6, "JPEG")


def test_tiff_of_the_other_byte_order_and_in_a_circle() -> None:
    entries = [(254, 4, 1, 1), (256, 3, 1, 9 << 16), (257, 4, 1, 8), (259, 3, 1, 5 << 16)]
    body = struct.pack(">H", len(entries)) + b"".join(struct.pack(">HHII", *entry) for entry in entries)
    head = b"MM\0*" + struct.pack(">I", 8)
    assert pages("TIFF", head + body + bytes(4)) == [
        {"width": 9, "height": 8, "bits": 1, "samples": 1, "compression": "LZW", "reduced": True}
    ]
    with pytest.raises(FormatError, match="circle"):
        pages("TIFF", head + body + struct.pack(">I", 8))
    with pytest.raises(FormatError, match="behind its end"):
        pages("TIFF", head + body + struct.pack(">I", 4000))
    with pytest.raises(FormatError, match="without a page"):
        pages("TIFF", b"MM\0*" + bytes(12))


@given(st.binary(max_size=200))
def test_any_bytes_are_pages_or_an_error(data: bytes) -> None:
    for form, magic in (("TIFF", b"II*\0\x08\0\0\0"), ("PNG", b"\x89PNG\r\n\x1a\n"), ("JPEG", b"\xff\xd8\xff")):
        for content in (data, magic + data):
            try:
                pages(form, content)
            except FormatError:
                continue
