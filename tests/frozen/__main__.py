"""Freeze a lake: ``python -m tests.frozen`` writes ``v1.tar.xz``, with the answers that must be read from it.

Only for as long as version 1 was never released. From then on this file is what users have, and stays as it is.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pysam

from lake.grants import Grant, Verb
from lake.htsget.signing import Signer, load_secret
from lake.lake import Lake
from lake.retention import Policy
from tests.formats.spectra.mzml_maker import made_mzml, made_spectrum
from tests.frozen.test_frozen import ARCHIVE, QUERIES, REFS, REGIONS, records
from tests.lake.samples import flip, make_bam, object_file

_CENTURY = 100 * 365 * 86_400.0


def _sources(folder: Path) -> Path:
    """Files of the kinds that a lake treats differently; the same ones each time."""
    source = random.Random(1)
    make_bam(folder / "a.bam", reads=60, seed=1, index="bai")
    make_bam(folder / "damaged.bam", reads=300, seed=2)
    lines = [f"chr1\t{10 + 40 * number}\t.\tA\tG\t50\tPASS\tDP={number}" for number in range(200)]
    header = (
        "##fileformat=VCFv4.3\n##contig=<ID=chr1,length=50000>\n##INFO=<ID=DP,Number=1,Type=Integer,Description=x>\n"
    )
    plain = folder / "calls.vcf"
    plain.write_text(f"{header}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "\n".join(lines) + "\n")
    pysam.tabix_compress(str(plain), str(folder / "calls.vcf.gz"))
    plain.unlink()
    (folder / "run.mzML").write_bytes(
        made_mzml([made_spectrum(number, f"scan={number + 1}", 1.5 * number) for number in range(20)])
    )
    (folder / "notes.txt").write_text("a few words\n" * 100)
    # Without a name and a time, the same bytes each time.
    with gzip.GzipFile("", "wb", fileobj=(folder / "plain.gz").open("wb"), mtime=0) as file:
        file.write(source.randbytes(2000))
    (folder / "é ü").write_bytes(b"")
    (folder / "many").mkdir()
    for number in range(70):
        (folder / "many" / f"{number:02}.txt").write_text(f"small file {number}\n")
    return folder


def _fill(lk: Lake, files: Path) -> str:
    """Live through all that leaves traces on disk; returns a token."""
    singles = sorted(path for path in files.iterdir() if path.is_file())
    lk.put(singles, "study/", meta={"sample": "s1", "depth": 30, "nested": {"ä": [1, None, True]}}, message="first")
    lk.put(files / "many", "", checksums=True)
    lk.mkdir("empty/inner")
    lk.set_meta("study", {"owner": "ann"})
    lk.tag("v1")
    lk.branch("exp")
    lk.branch("gone")
    with lk.open("only-there.txt", "w", ref="gone") as file:
        file.write("of a branch that was deleted")
    lk.branch("child", "gone")
    lk.delete_branch("gone")
    lk.rm("@exp/study/plain.gz")
    for number in range(6):
        with lk.open("study/notes.txt", "w") as file:
            file.write(f"version {number}\n")
    lk.mv("study/plain.gz", "moved.gz")
    lk.tag("v2")
    lk.rm("many/00.txt")
    lk.expire(Policy(last=3))
    lk.gc(grace=0.0)
    lk.set_quota("study", soft=1 << 20, hard=1 << 30)
    token = lk.tokens.create([Grant(Verb.READ, "study/*")], name="reader", expires=None).text
    flip(object_file(lk, "study/damaged.bam"), 30_000)
    lk.fsck()
    lk.catalog.publish(force=True)
    with lk.open("later.txt", "w") as file:
        file.write("committed after the generation")
    return token


def _expected(lk: Lake, token: str) -> dict[str, Any]:
    files: dict[str, dict[str, Any]] = {}
    for ref in REFS:
        files[ref] = {}
        for entry in lk.ls("", ref=ref, recursive=True):
            bad = entry.path == "study/damaged.bam"
            content = None if entry.digest is None or bad else lk.open(entry.path, "rb", ref=ref).read()
            sha = None if content is None else hashlib.sha256(content).hexdigest()
            digest = None if entry.digest is None else entry.digest.hex()
            files[ref][entry.path] = [digest, sha, entry.size, entry.format, dict(entry.attributes)]
    return {
        "files": files,
        "commits": [[commit.seq, commit.id, commit.message] for commit in lk.log()],
        "queries": {query: lk.sql(query).fetchall() for query in QUERIES},
        "regions": {f"{path} {region}": records(lk, path, region) for path, region in REGIONS},
        "token": token,
        "signed": Signer(load_secret(lk.root)).sign({"path": "study/notes.txt"}, _CENTURY),
    }


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return None if member.name.endswith(".lock") else member


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "files").mkdir()
        with Lake.init(folder / "lake") as lk:
            token = _fill(lk, _sources(folder / "files"))
            lk.backup(folder / "backup")
            expected = _expected(lk, token)
        (folder / "answers.json").write_text(json.dumps(expected, default=str))
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:xz", preset=9) as archive:
            for part in ("lake", "backup", "answers.json"):
                archive.add(folder / part, part, filter=_anonymous)
    ARCHIVE.write_bytes(packed.getvalue())
    print(f"{ARCHIVE}: {len(packed.getvalue()):,} bytes")


if __name__ == "__main__":
    main()
