"""Facts of pictures: the pages of TIFF, PNG, JPEG."""

from __future__ import annotations

import pyarrow as pa

from lake.formats.compression.inflated import container_of
from lake.formats.facts.kinds import fact_table
from lake.formats.facts.sources import IndexFile
from lake.formats.pictures.page import Page
from lake.formats.reader import ByteReader

__all__ = ["JPEG_FACTS", "PNG_FACTS", "TIFF_FACTS", "ImageFacts"]


class ImageFacts:
    """Facts of one format of pictures."""

    code = "facts/1"
    reads_all = False
    located_kinds: tuple[str, ...] = ()

    def __init__(self, form: str) -> None:
        self._form = form

    def header(self, reader: ByteReader) -> dict[str, pa.Table]:
        """The pages; nothing where the file is compressed as a whole.

        Raises:
            FormatError: damaged where the sizes stand.
        """
        if container_of(reader) != "plain" or reader.read(0, 3) == b"BZh":
            return {}
        return fact_table("images", self._pages(reader))

    def located(self, reader: ByteReader, at_hand: IndexFile) -> dict[str, pa.Table]:
        """Nothing: there is no index."""
        return {}

    def _pages(self, reader: ByteReader) -> list[Page]:
        if self._form == "TIFF":
            from lake.formats.pictures.tiff import tiff_pages

            return tiff_pages(reader)
        from lake.formats.pictures.raster import jpeg_page, png_page

        return [png_page(reader) if self._form == "PNG" else jpeg_page(reader)]


JPEG_FACTS = ImageFacts("JPEG")
PNG_FACTS = ImageFacts("PNG")
TIFF_FACTS = ImageFacts("TIFF")
