"""Small files that lie in a pack can do whatever files can."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lake.errors import DamagedObject, InvalidInput, NotFound
from lake.lake import Lake
from lake.stores.base import Location
from tests.lake.samples import branch_files, flip, local_tree, make_bam, make_tree, sam_text, stored_objects

COUNT = 100


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree", {f"{n:02}.txt": f"text {n}\n" * (n + 1) for n in range(COUNT)})


@pytest.fixture
def packed(lk: Lake, tree: Path) -> Lake:
    """A lake whose files lie in one pack."""
    lk.put(f"{tree}/.", "")
    assert location(lk, "07.txt").handle.startswith("packs/")
    return lk


def location(lk: Lake, path: str) -> Location:
    record = lk.repo.journal.object(lk.tree().file(path).hex)
    assert record is not None
    return record.location


def pack_files(lk: Lake) -> list[Path]:
    return sorted((lk.root / "packs").glob("*"))


class TestReading:
    def test_is_what_was_put(self, packed: Lake, tree: Path, tmp_path: Path) -> None:
        assert branch_files(packed) == local_tree(tree)
        assert stored_objects(packed) == {}
        for verify in (False, True):
            with packed.open("07.txt", "rb", verify=verify) as file:
                assert file.read() == (tree / "07.txt").read_bytes()
                file.seek(-5, os.SEEK_END)
                assert file.read() == (tree / "07.txt").read_bytes()[-5:]
        packed.get("", tmp_path / "out")
        assert local_tree(tmp_path / "out") == local_tree(tree)

    def test_putting_it_again_stores_nothing(self, packed: Lake, tree: Path) -> None:
        before = [(path, path.stat().st_ino) for path in pack_files(packed)]
        report = packed.put(f"{tree}/.", "again")
        assert not any(item.new or item.healed for item in report.items)
        assert [(path, path.stat().st_ino) for path in pack_files(packed)] == before
        assert stored_objects(packed) == {}

    def test_a_few_new_files_among_many_known_ones(self, packed: Lake, tree: Path) -> None:
        (tree / "07.txt").write_text("changed")
        report = packed.put(f"{tree}/.", "")
        assert [item.path for item in report.items if item.new] == ["07.txt"]
        assert len(stored_objects(packed)) == len(pack_files(packed)) == 1
        assert branch_files(packed) == local_tree(tree)

    def test_inside_a_commit(self, lk: Lake, tree: Path) -> None:
        with lk.commit("both"):
            lk.put(f"{tree}/.", "a")
            lk.put(f"{tree}/.", "b")
            assert lk.open("a/07.txt", "r").read() == (tree / "07.txt").read_text()
            assert lk.local_path("a/07.txt").read_bytes() == (tree / "07.txt").read_bytes()
        assert lk.local_path("b/07.txt").read_bytes() == (tree / "07.txt").read_bytes()
        assert branch_files(lk) == {
            f"{top}/{name}": content for top in "ab" for name, content in local_tree(tree).items()
        }


class TestFilesOfTheirOwn:
    def test_are_made_when_asked_for(self, packed: Lake, tree: Path) -> None:
        path = packed.local_path("07.txt")
        assert path.read_bytes() == (tree / "07.txt").read_bytes()
        assert path.stat().st_mode & 0o777 == 0o444
        assert packed.root / location(packed, "07.txt").handle == path
        assert packed.local_path("07.txt") == path
        assert packed.fsck().orphans == 0
        assert branch_files(packed) == local_tree(tree)

    @pytest.mark.parametrize("link", ["hard", "sym"])
    def test_can_be_linked(self, packed: Lake, tree: Path, tmp_path: Path, link: str) -> None:
        (written,) = packed.get("07.txt", tmp_path / "out", link=link)
        assert written.read_bytes() == (tree / "07.txt").read_bytes()
        assert written.samefile(packed.local_path("07.txt"))

    def test_are_not_made_where_nothing_may_be_written(self, packed: Lake) -> None:
        with Lake.open_at(packed.root, readonly=True) as reading:
            assert reading.open("07.txt", "r").read().startswith("text 7")
            with pytest.raises(InvalidInput, match="read-only"):
                reading.local_path("07.txt")
        path = packed.local_path("07.txt")
        with Lake.open_at(packed.root, readonly=True) as reading:
            assert reading.local_path("07.txt") == path

    def test_never_of_damaged_bytes(self, packed: Lake) -> None:
        damaged = location(packed, "07.txt")
        flip(packed.root / damaged.handle, damaged.offset)
        with pytest.raises(DamagedObject, match=r"07\.txt"):
            packed.local_path("07.txt")
        assert stored_objects(packed) == {}
        flip(packed.root / damaged.handle, damaged.offset)

    def test_readers_elsewhere_follow(self, packed: Lake, tree: Path) -> None:
        with Lake.open_at(packed.root) as other:
            reader = other.reader("07.txt")
            assert reader.read(0, 4) == b"text"
            packed.local_path("07.txt")
            (pack,) = pack_files(packed)
            pack.rename(pack.with_name("elsewhere"))
            other.repo.store.forget(reader.record.location)
            assert reader.read(0, 1000) == (tree / "07.txt").read_bytes()
            with pytest.raises(NotFound):
                other.reader("08.txt").read(0, 4)
            pack.with_name("elsewhere").rename(pack)


class TestDamage:
    def test_is_found_named_and_healed(self, packed: Lake, tree: Path) -> None:
        damaged = location(packed, "07.txt")
        flip(packed.root / damaged.handle, damaged.offset + 3)
        with packed.open("07.txt", verify=True) as file, pytest.raises(DamagedObject, match=r"07\.txt"):
            file.read()
        [finding] = packed.fsck().findings
        assert (finding.problem, finding.paths, finding.chunks) == ("damaged", ("07.txt@main",), ((0, 0, 56),))
        with Lake.open_at(packed.root) as other:
            with pytest.raises(DamagedObject):
                other.reader("07.txt").read(0, 1)
            report = packed.put(f"{tree}/.", "")
            assert [item.path for item in report.items if item.healed] == ["07.txt"]
            assert other.reader("07.txt").read(0, 6) == b"text 7"
        assert location(packed, "07.txt") != damaged
        assert packed.stat("07.txt").damaged == ()
        assert branch_files(packed) == local_tree(tree)

    @pytest.mark.parametrize("what", ["cut", "gone"])
    def test_of_a_whole_pack(self, packed: Lake, tree: Path, what: str) -> None:
        (pack,) = pack_files(packed)
        if what == "gone":
            pack.unlink()
        else:
            pack.chmod(0o644)
            os.truncate(pack, location(packed, "50.txt").offset + 1)
        packed.repo.store.forget(location(packed, "50.txt"))
        with pytest.raises((DamagedObject, NotFound)):
            packed.reader("50.txt").read(0, 10)
        report = packed.fsck()
        assert {finding.problem for finding in report.findings} == {"missing" if what == "gone" else "size"}
        assert len(report.findings) == (COUNT if what == "gone" else 50)
        healed = packed.put(f"{tree}/.", "").items
        assert sum(item.healed for item in healed) == len(report.findings)
        assert packed.fsck().ok
        assert branch_files(packed) == local_tree(tree)

    def test_packs_that_nothing_needs_are_counted(self, packed: Lake, tmp_path: Path) -> None:
        orphan = packed.root / "packs" / ("0" * 64)
        orphan.write_bytes(b"left by a crash")
        (packed.root / "packs" / "notes").write_bytes(b"")
        report = packed.fsck()
        assert (report.ok, report.orphans, report.foreign) == (True, 1, ["packs/notes"])
        (packed.root / "packs" / "notes").unlink()


def test_a_small_bam(lk: Lake, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", {f"{n:02}.txt": str(n) for n in range(COUNT)})
    for index in ("bai", None):
        make_bam(tree / f"{index}.bam", reads=30, seed=7 if index else 8, index=index)
    items = {item.path: item for item in lk.put(f"{tree}/.", "").items}
    assert items["bai.bam"].index == "bai adopted"
    assert items["None.bam"].index is not None
    assert items["None.bam"].index.endswith("built")
    (tmp_path / "plain.bam").write_bytes((tree / "None.bam").read_bytes())
    lk.save(lk.slice("None.bam", "chr1:1-20,000"), tmp_path / "slice.bam")
    lk.index("None.bam")
    make_bam(tmp_path / "same.bam", reads=30, seed=8, index="bai")
    assert sam_text(tmp_path / "slice.bam") == sam_text(tmp_path / "same.bam", "chr1:1-20,000") != ""
    assert location(lk, "None.bam").handle.startswith("packs/")


def test_an_index_put_off_is_built_from_the_pack(lk: Lake, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", {f"{n:02}.txt": str(n) for n in range(COUNT)})
    make_bam(tree / "a.bam", reads=30, seed=8)
    lk.put(f"{tree}/.", "", index=False)
    make_bam(tmp_path / "same.bam", reads=30, seed=8, index="bai")
    lk.save(lk.slice("a.bam", "chr2"), tmp_path / "slice.bam")
    assert sam_text(tmp_path / "slice.bam") == sam_text(tmp_path / "same.bam", "chr2") != ""
