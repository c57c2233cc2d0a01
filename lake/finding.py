"""Search for people: which files cover a region, which files have to do with a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lake.errors import InvalidInput, InvalidRegion
from lake.formats.contig_names import other_names
from lake.formats.region import Region, parse_region

if TYPE_CHECKING:
    from lake.catalog.session import CatalogConnection

__all__ = ["Filters", "RegionHit", "TextHit", "find_region", "find_text", "region_in"]

_END = (1 << 63) - 1


class Filters(NamedTuple):
    """What a file must have, besides what is searched."""

    samples: tuple[str, ...] = ()
    """One of these, by the facts of the file."""
    formats: tuple[str, ...] = ()
    """One of these, in any case."""
    attributes: tuple[tuple[str, str], ...] = ()
    """All of these: key and value as text; an empty value: the key alone."""
    under: str = ""
    """Below this directory."""


class RegionHit(NamedTuple):
    path: str
    format: str
    size: int
    """Bytes of the file."""
    contig: str
    """As the file calls it."""
    chunks: int | None
    """Chunks that hold records of the region, or may; None where no more is known than that the file has the contig."""
    bytes: int | None
    """Bytes of these chunks: what an answer takes at most, besides the header."""
    exact: bool
    """Whether the intervals come from the records; else from bounds that an index gives."""


class TextHit(NamedTuple):
    path: str
    format: str
    size: int
    where: tuple[str, ...]
    """What matched: ``path``, ``sample NA12878``, ``attribute tissue=liver``, …"""


def _conditions(filters: Filters) -> tuple[str, list[Any]]:
    """SQL conditions on the view ``files f``, and their values."""
    found, values = ["true"], list[Any]()
    if filters.formats:
        found.append("upper(f.format) IN (SELECT unnest(?::VARCHAR[]))")
        values.append([name.upper() for name in filters.formats])
    if filters.samples:
        found.append("f.path IN (SELECT path FROM samples WHERE sample IN (SELECT unnest(?::VARCHAR[])))")
        values.append(list(filters.samples))
    for key, value in filters.attributes:
        found.append('f.path IN (SELECT path FROM attributes WHERE "key" = ? AND (? = \'\' OR "value" = ?))')
        values += [key, value, value]
    if filters.under:
        found.append("starts_with(f.path, ?)")
        values.append(f"{filters.under.rstrip('/')}/")
    return " AND ".join(found), values


def region_in(connection: CatalogConnection, text: str) -> tuple[Region, list[str]] | None:
    """A region of samtools notation, and what the files of the lake call its contig; None where no file has it.

    Raises:
        InvalidRegion: a contig of the lake with a range that is none.
    """
    rows = connection.execute(
        "SELECT name, max(length) FROM contigs GROUP BY name UNION ALL"
        " SELECT name, max(length) FROM sequences GROUP BY name UNION ALL"
        # Those of chunks are among them, and would be millions of rows.
        " SELECT DISTINCT contig, NULL FROM contig_stats"
    ).fetchall()
    lengths: dict[str, int] = {}
    for name, length in rows:
        if name is not None:
            lengths[name] = max(lengths.get(name, 0), length or 0)
    known = {spelling: length for name, length in lengths.items() for spelling in (name, *_spellings(name))}
    try:
        region = parse_region(text, known | lengths)
    except InvalidRegion:
        name, colon, _ = text.rpartition(":")
        if colon and (name in known or name.strip("{}") in known):
            raise
        return None
    if region.contig not in known:
        return None
    return region, [region.contig, *other_names(region.contig, lengths, {})]


def _spellings(name: str) -> list[str]:
    return [
        name[3:] if name.startswith("chr") else f"chr{name}",
        *(("M", "MT", "chrM", "chrMT") if _is_m(name) else ()),
    ]


def _is_m(name: str) -> bool:
    return name.removeprefix("chr") in ("M", "MT")


_REGION = """
WITH wanted AS (SELECT f.path, f.format, f.size, f.digest FROM files f WHERE {conditions}),
hit AS (
  SELECT digest, min(contig) AS contig, count(*) AS chunks, sum(length) AS bytes, bool_and(exact) AS exact FROM (
    SELECT digest, ord, any_value(length) AS length, min(contig) AS contig, bool_and(exact) AS exact FROM chunks
    WHERE contig IN (SELECT unnest(?::VARCHAR[])) AND "start" < ? AND "stop" > ? GROUP BY digest, ord)
  GROUP BY digest),
declared AS (
  SELECT path, name, max(length) AS length FROM (
    SELECT path, name, length FROM contigs UNION ALL SELECT path, name, length FROM sequences
    UNION ALL SELECT path, contig, NULL FROM contig_stats WHERE records > 0)
  WHERE name IN (SELECT unnest(?::VARCHAR[])) GROUP BY path, name),
unsure AS (
  SELECT w.path, w.format, w.size, w.digest, min(d.name) AS contig FROM wanted w JOIN declared d USING (path)
  WHERE (d.length IS NULL OR d.length > ?) AND w.digest NOT IN (SELECT digest FROM hit) GROUP BY ALL),
placed AS (SELECT DISTINCT digest FROM chunks WHERE "start" IS NOT NULL AND digest IN (SELECT digest FROM unsure))
SELECT w.path, w.format, w.size, h.contig, h.chunks, h.bytes, h.exact FROM wanted w JOIN hit h USING (digest)
UNION ALL
SELECT path, format, size, contig, NULL, NULL, false FROM unsure WHERE digest NOT IN (FROM placed)
ORDER BY 1"""


def find_region(
    connection: CatalogConnection, region: Region, names: Sequence[str], filters: Filters
) -> list[RegionHit]:
    """Files that have records in a region, or have its contig and cannot tell; sorted by path.

    Args:
        connection: the catalog.
        region: 0-based, half-open.
        names: what the contig may be called.
        filters: what the files must have.
    """
    conditions, values = _conditions(filters)
    stop = _END if region.stop is None else region.stop
    given = [*values, list(names), stop, region.start, list(names), region.start]
    rows = connection.execute(_REGION.format(conditions=conditions), given).fetchall()
    return [
        RegionHit(path, form, size, contig, chunks, None if taken is None else int(taken), bool(exact))
        for path, form, size, contig, chunks, taken, exact in rows
    ]


_TEXTS: Mapping[str, str] = {
    "path": "SELECT path, 'path' AS found FROM files WHERE contains(lower(path), $text)",
    "digest": "SELECT path, 'digest' FROM files WHERE length($text) >= 8 AND starts_with(digest, $text)",
    "format": "SELECT path, 'format' FROM files WHERE lower(format) = $text",
    "attributes": """SELECT path, 'attribute ' || "key" || '=' || "value" FROM attributes
                     WHERE contains(lower("key"), $text) OR contains(lower("value"), $text)""",
    "samples": "SELECT path, 'sample ' || sample FROM samples WHERE contains(lower(sample), $text)",
    "read_groups": """SELECT path, 'read group ' || id FROM read_groups
                      WHERE contains(lower(concat_ws(' ', id, library, platform, unit)), $text)""",
    "programs": """SELECT path, 'program ' || coalesce(name, id) FROM programs
                   WHERE contains(lower(concat_ws(' ', id, name, command_line)), $text)""",
    "sequences": "SELECT path, 'sequence ' || name FROM sequences WHERE lower(name) = $text OR md5 = $text",
    "contigs": "SELECT path, 'contig ' || name FROM contigs WHERE lower(name) = $text OR md5 = $text",
    "runs": """SELECT path, 'run ' || coalesce(run_id, instrument) FROM runs
               WHERE contains(lower(concat_ws(' ', run_id, instrument, serial_number)), $text)""",
    "datasets": "SELECT path, 'dataset ' || dataset FROM datasets WHERE contains(lower(dataset), $text)",
    "commits": """SELECT f.path, 'commit ' || c.seq || ': ' || c.message
                  FROM commits c JOIN files f ON f."commit" = c.seq
                  WHERE contains(lower(c.message), $text)""",
}
_SHOWN = 4


def find_text(connection: CatalogConnection, words: Sequence[str], filters: Filters) -> list[TextHit]:
    """Files in which every word occurs somewhere: in path, attributes, samples, programs, … in any case.

    Raises:
        InvalidInput: nothing is asked.
    """
    if not words and filters == Filters():
        raise InvalidInput("find what? Give a region, some text, or --sample, --format, --attribute")
    conditions, values = _conditions(filters)
    query = " UNION ALL ".join(_TEXTS.values())
    found: dict[str, list[str]] | None = None
    for word in words:
        rows = connection.execute(f"SELECT DISTINCT path, found FROM ({query})", {"text": word.lower()}).fetchall()
        here: dict[str, list[str]] = {}
        for path, what in sorted(rows):
            here.setdefault(path, []).append(what)
        if found is None:
            found = here
        else:
            found = {path: found[path] + what for path, what in here.items() if path in found}
    rows = connection.execute(
        f"SELECT f.path, f.format, f.size FROM files f WHERE {conditions} ORDER BY f.path", values
    ).fetchall()
    return [
        TextHit(path, form, size, tuple(dict.fromkeys(found[path]))[:_SHOWN] if found is not None else ())
        for path, form, size in rows
        if found is None or path in found
    ]
