"""Regions of stored files: indexes adopted, refused and built, and no silent part of a damaged file."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lake.errors import InvalidRegion, IsDirectory, LakeError, NotFound, Unsupported
from lake.formats.registry import region_format
from lake.lake import Lake
from tests.lake.samples import flip, make_bam, make_tree, object_file, sam_text

REGION = "chr1:10,001-20,000"


def answered(lk: Lake, path: str, folder: Path, *regions: str) -> str:
    """The records of a slice, as samtools prints them."""
    out = folder / "slice.bam"
    lk.save(lk.slice(path, regions), out)
    subprocess.run(["samtools", "quickcheck", str(out)], check=True)
    return sam_text(out)


def kinds(lk: Lake, path: str) -> list[str]:
    return [
        artifact.split()[0] + " " + ("adopted" if "adopted" in artifact else "built")
        for artifact in lk.stat(path).artifacts
    ]


class TestAdoption:
    @pytest.mark.parametrize(
        ("name", "suffix", "kind"),
        [("a", ".bam.bai", "bai"), ("a", ".bai", "bai"), ("b", ".bam.csi", "csi"), ("b", ".csi", "csi")],
    )
    @pytest.mark.parametrize("order", ["together", "index first", "data first"])
    def test_a_good_index_is_used(
        self, lk: Lake, tmp_path: Path, bams: Path, name: str, suffix: str, kind: str, order: str
    ) -> None:
        folder = tmp_path / "files"
        folder.mkdir()
        shutil.copy(bams / f"{name}.bam", folder / "s1.bam")
        shutil.copy(bams / f"{name}.bam.{kind}", folder / f"s1{suffix}")
        if order == "together":
            lk.put(f"{folder}/.", "runs")
        else:
            data, index = folder / "s1.bam", folder / f"s1{suffix}"
            for path in (index, data) if order == "index first" else (data, index):
                lk.put(path, "runs/", index=False)
        assert kinds(lk, "runs/s1.bam") == [f"{kind} adopted"]
        assert lk.exists(f"runs/s1{suffix}")
        assert answered(lk, "runs/s1.bam", tmp_path, REGION) == sam_text(bams / f"{name}.bam", REGION)

    def test_a_report_says_so(self, lk: Lake, bams: Path) -> None:
        report = lk.put([bams / "a.bam", bams / "a.bam.bai", bams / "c.bam"], "runs/")
        assert {Path(item.path).name: item.index for item in report.items} == {
            "a.bam": "bai adopted",
            "a.bam.bai": None,
            "c.bam": report.items[-1].index,
        }
        assert re.fullmatch(r"(bai|csi) built", report.items[-1].index or "")

    def test_a_stale_index_is_refused_with_a_reason(self, lk: Lake, tmp_path: Path, bams: Path) -> None:
        shutil.copy(bams / "c.bam", tmp_path / "s1.bam")
        shutil.copy(bams / "a.bam.bai", tmp_path / "s1.bam.bai")
        report = lk.put([tmp_path / "s1.bam", tmp_path / "s1.bam.bai"], "runs/")
        warnings = [warning for item in report.items for warning in item.warnings]
        assert any("index runs/s1.bam.bai is not used: " in warning for warning in warnings)
        assert kinds(lk, "runs/s1.bam")[0].endswith("built")
        pysam_index(tmp_path / "s1.bam")
        assert answered(lk, "runs/s1.bam", tmp_path, REGION) == sam_text(tmp_path / "s1.bam", REGION)

    @pytest.mark.parametrize("content", [b"", b"BAI\1", b"BAI\1" + b"\xff" * 100, b"not an index at all"])
    def test_something_else_under_its_name(self, lk: Lake, tmp_path: Path, bams: Path, content: bytes) -> None:
        shutil.copy(bams / "a.bam", tmp_path / "s1.bam")
        (tmp_path / "s1.bam.bai").write_bytes(content)
        lk.put([tmp_path / "s1.bam", tmp_path / "s1.bam.bai"], "runs/")
        assert answered(lk, "runs/s1.bam", tmp_path, REGION) == sam_text(bams / "a.bam", REGION)

    def test_the_stale_one_of_the_real_files(self, lk: Lake, tmp_path: Path, shared_data: Path) -> None:
        edge = shared_data / "genomics/edge"
        report = lk.put([edge / "stale_index.bam", edge / "stale_index.bam.bai"], "")
        assert any("is not used" in warning for item in report.items for warning in item.warnings)
        shutil.copy(edge / "stale_index.bam", tmp_path / "right.bam")
        pysam_index(tmp_path / "right.bam")
        contig = next(iter(_contigs(tmp_path / "right.bam")))
        assert answered(lk, "stale_index.bam", tmp_path, contig) == sam_text(tmp_path / "right.bam", contig)

    def test_put_off_until_first_use(self, lk: Lake, tmp_path: Path, bams: Path) -> None:
        report = lk.put(bams / "c.bam", "x.bam", index=False)
        assert report.items[0].index is None
        assert lk.stat("x.bam").artifacts == ()
        lk.slice("x.bam", REGION)
        assert kinds(lk, "x.bam")

    def test_the_table_is_kept_with_an_index_that_is_built(self, lk: Lake, bams: Path) -> None:
        form = region_format("BAM")
        assert form is not None
        lk.put(bams / "c.bam", "put.bam")
        assert form.table_kind in {kind.split()[0] for kind in kinds(lk, "put.bam")}
        lk.put(bams / "a.bam", "later.bam", index=False)
        lk.slice("later.bam", REGION)
        assert len(kinds(lk, "later.bam")) == 2

    def test_index_makes_what_is_missing(self, lk: Lake, bams: Path) -> None:
        lk.put([bams / "c.bam"], "", index=False)
        made = lk.index("c.bam")
        assert made == lk.index("c.bam") != []
        form = region_format("BAM")
        assert form is not None
        assert form.table_kind in made

    def test_lost_artifacts_are_made_again(self, bare: Lake, tmp_path: Path, bams: Path) -> None:
        bare.put([bams / "a.bam", bams / "a.bam.bai"], "")
        object_file(bare, "a.bam.bai").unlink()
        with Lake.open_at(bare.root) as again:
            assert answered(again, "a.bam", tmp_path, REGION) == sam_text(bams / "a.bam", REGION)


def pysam_index(path: Path) -> None:
    subprocess.run(["samtools", "index", str(path)], check=True)


def _contigs(path: Path) -> list[str]:
    done = subprocess.run(["samtools", "view", "-H", str(path)], capture_output=True, text=True, check=True)
    return re.findall(r"^@SQ.*?\tSN:([^\t\n]+)", done.stdout, re.MULTILINE)


class TestSlices:
    @pytest.mark.parametrize(
        "regions",
        [("chr1",), (REGION,), ("chr2", "chr1:1-500", "chr1:300-9000"), ("*",), ("{HLA-A*01:01}:100-900",), ()],
    )
    def test_are_those_of_samtools(self, lk: Lake, tmp_path: Path, bams: Path, regions: tuple[str, ...]) -> None:
        lk.put([bams / "a.bam", bams / "a.bam.bai"], "")
        assert answered(lk, "a.bam", tmp_path, *regions) == sam_text(bams / "a.bam", *regions)

    def test_targets(self, lk: Lake, tmp_path: Path, bams: Path) -> None:
        lk.put(bams / "c.bam", "")
        bed = make_tree(tmp_path, {"t.bed": "# some\nchr1\t100\t3000\tx\nchr2\t0\t900\n"}) / "t.bed"
        out = tmp_path / "out.bam"
        lk.save(lk.slice("c.bam", targets=bed), out)
        done = subprocess.run(
            ["samtools", "view", "-L", str(bed), str(bams / "c.bam")], capture_output=True, text=True, check=True
        )
        assert sam_text(out) == done.stdout != ""

    def test_identity(self, lk: Lake, bams: Path) -> None:
        lk.put(bams / "a.bam", "one.bam")
        lk.put(bams / "a.bam", "two.bam")
        lk.put(bams / "c.bam", "c.bam")
        first = lk.slice("one.bam", REGION)
        assert lk.slice("two.bam", REGION).identity == first.identity
        assert len({first.identity, lk.slice("one.bam", "chr1").identity, lk.slice("c.bam", REGION).identity}) == 3

    def test_at_a_ref(self, lk: Lake, bams: Path) -> None:
        lk.put(bams / "a.bam", "x.bam")
        wanted = lk.slice("x.bam", REGION).to_bytes()
        lk.put(bams / "c.bam", "x.bam")
        assert lk.slice("@main~1/x.bam", REGION).to_bytes() == wanted == lk.slice("x.bam", REGION, ref="1").to_bytes()
        assert lk.slice("x.bam", REGION).to_bytes() != wanted

    def test_save_with_index(self, lk: Lake, tmp_path: Path, bams: Path) -> None:
        lk.put(bams / "a.bam", "")
        lk.save(lk.slice("a.bam", "chr1"), tmp_path / "out/s.bam", write_index=True)
        [index] = (tmp_path / "out").glob("s.bam.*")
        assert index.suffix in (".bai", ".csi")
        assert sam_text(tmp_path / "out/s.bam", REGION) == sam_text(bams / "a.bam", REGION)

    def test_what_cannot_be_asked(self, lk: Lake, tmp_path: Path, bams: Path) -> None:
        lk.put(bams / "a.bam", "d/a.bam")
        lk.put(make_tree(tmp_path, {"x.bin": "\0binary"}) / "x.bin", "")
        for region in ("chr11", "chr1:200-100", "chr1:x-y", "", "chr1:-5--3"):
            with pytest.raises(InvalidRegion):
                lk.slice("d/a.bam", region)
        with pytest.raises(InvalidRegion, match="chr1"):
            lk.slice("d/a.bam", "Chr1")
        with pytest.raises(Unsupported):
            lk.slice("x.bin", "chr1")
        with pytest.raises(IsDirectory):
            lk.slice("d", "chr1")
        with pytest.raises(NotFound, match=r"did you mean d/a\.bam"):
            lk.slice("d/a.bm", "chr1")

    def test_a_damaged_chunk_is_never_served(self, bare: Lake, tmp_path: Path) -> None:
        make_bam(tmp_path / "big.bam", reads=15_000)
        bare.put(tmp_path / "big.bam", "")
        chunks = list(bare.reader("big.bam").chunks)
        assert len(chunks) > 2
        flip(object_file(bare, "big.bam"), chunks[1].offset + 1000)
        pysam_index(tmp_path / "big.bam")
        with Lake.open_at(bare.root) as lk:
            with pytest.raises(LakeError, match=r"big\.bam"):
                lk.slice("big.bam", "chr2").to_bytes()
            assert answered(lk, "big.bam", tmp_path, "chr1:1-500") == sam_text(tmp_path / "big.bam", "chr1:1-500")
            assert lk.stat("big.bam").damaged == (1,)


@pytest.fixture(scope="module")
def edge(shared_data: Path) -> Path:
    return shared_data / "genomics/edge"


@pytest.fixture(scope="module")
def stored(edge: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lk = Lake.init(tmp_path_factory.mktemp("edge") / "lake")
    report = lk.put([f"{edge}/*.bam", f"{edge}/*.bam.*"], "edge/")
    assert not report.failed
    return lk


@pytest.fixture(scope="module")
def broken(shared_data: Path) -> set[str]:
    text = (shared_data / "genomics/MANIFEST.md").read_text()
    return set(re.findall(r"^- `edge/([^`]+\.bam)`.*\| \*\*FAIL\*\*", text, re.MULTILINE))


class TestDamagedFiles:
    """Every BAM of ``edge/``: stored, marked with what is wrong, and never answered with a silent part."""

    def test_all_are_stored_and_marked(self, stored: Lake, edge: Path, broken: set[str]) -> None:
        assert len(broken) > 5
        for path in sorted(edge.glob("*.bam")):
            found = stored.stat(f"edge/{path.name}")
            assert object_file(stored, f"edge/{path.name}").read_bytes() == path.read_bytes()
            if path.name in broken - {"bitflip.bam"}:
                assert found.problems, path.name
            elif path.name not in broken and path.name != "malformed_sq_line_csi.bam":
                assert found.problems == (), path.name
        assert stored.fsck().ok

    def test_an_error_or_the_right_answer(
        self, stored: Lake, edge: Path, broken: set[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.ERROR)
        answers = 0
        for path in sorted(edge.glob("*.bam")):
            local = tmp_path / path.name
            shutil.copy(path, local)
            indexed = subprocess.run(["samtools", "index", str(local)], capture_output=True).returncode == 0
            whole = _view(local)
            listed = subprocess.run(
                ["samtools", "view", "--no-PG", "-H", str(local)], capture_output=True, text=True
            ).stdout
            contigs = re.findall(r"^@SQ.*?\tSN:([^\t\n]+)", listed, re.MULTILINE)
            regions: list[tuple[str, ...]] = [(), ("*",), *((name,) for name in contigs[:2] + contigs[-1:])]
            for region in regions:
                got = _attempt(stored, f"edge/{path.name}", tmp_path / "got.bam", region)
                if got is None:
                    assert path.name in broken, (path.name, region)
                    continue
                right = _view(local, *region) if indexed or not region else None
                answers += 1
                assert got == (right if right is not None else _selected(whole, *region)), (path.name, region)
        assert answers > 40


def _view(path: Path, *regions: str) -> str | None:
    """Records as text, or None where samtools fails."""
    done = subprocess.run(["samtools", "view", "--no-PG", str(path), *regions], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def _attempt(lk: Lake, path: str, out: Path, regions: tuple[str, ...]) -> str | None:
    """Records of a slice as text; None where asking fails, or where what was answered cannot be read to its end."""
    try:
        lk.save(lk.slice(path, regions), out)
    except LakeError:
        return None
    return _view(out)


def _selected(whole: str | None, contig: str) -> str:
    """The records of a contig, of a file of which samtools can make no index or will not be asked for regions."""
    assert whole is not None
    return "".join(line for line in whole.splitlines(keepends=True) if line.split("\t")[2] == contig)
