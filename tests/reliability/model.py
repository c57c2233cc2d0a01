"""A lake as dictionaries: what every branch and tag must hold after the calls that were made."""

from __future__ import annotations

from typing import NamedTuple

from lake.journal.values import Json

__all__ = ["Item", "Refused", "Tree", "copied", "made", "moved", "removed", "restored", "tagged", "written"]


class Item(NamedTuple):
    """A file, or a directory that was made on purpose."""

    content: bytes | None
    """None: a directory."""
    attributes: dict[str, Json]


Tree = dict[str, Item]
"""By path. No function changes the tree that it is given."""


class Refused(Exception):
    """The lake must refuse the call, and change nothing."""


def inside(path: str, directory: str) -> bool:
    return not directory or path.startswith(f"{directory}/")


def below(tree: Tree, path: str) -> Tree:
    """What is at a path or below it; refused where there is nothing."""
    found = {other: item for other, item in tree.items() if other == path or inside(other, path)}
    if not found and path:
        raise Refused(f"nothing at {path}")
    return found


def is_file(tree: Tree, path: str) -> bool:
    return path in tree and tree[path].content is not None


def is_directory(tree: Tree, path: str) -> bool:
    return not is_file(tree, path) and (not path or path in tree or any(inside(other, path) for other in tree))


def placed(tree: Tree, path: str, item: Item) -> Tree:
    """A file put at a path, or a directory made there."""
    parts = path.split("/")
    if any(is_file(tree, "/".join(parts[:count])) for count in range(1, len(parts))):
        raise Refused(f"a file above {path}")
    if item.content is None:
        if is_file(tree, path):
            raise Refused(f"a file at {path}")
        return {path: item} | tree
    if is_directory(tree, path):
        raise Refused(f"a directory at {path}")
    return tree | {path: item}


def written(tree: Tree, path: str, content: bytes, attributes: dict[str, Json]) -> Tree:
    """A file written; what it replaces keeps its attributes, with those given over them."""
    kept = tree[path].attributes if is_file(tree, path) else {}
    return placed(tree, path, Item(content, kept | attributes))


def made(tree: Tree, path: str) -> Tree:
    if is_file(tree, path) or is_directory(tree, path):
        raise Refused(f"{path} exists")
    return placed(tree, path, Item(None, {}))


def removed(tree: Tree, path: str, *, recursive: bool) -> Tree:
    gone = below(tree, path)
    if not recursive and not is_file(tree, path):
        raise Refused(f"{path} is a directory")
    return {other: item for other, item in tree.items() if other not in gone}


def copied(source: Tree, path: str, tree: Tree, destination: str, *, same: bool, recursive: bool) -> Tree:
    """``cp``; ``same``: within one tree."""
    entries = below(source, path)
    if not recursive and not is_file(source, path):
        raise Refused(f"{path} is a directory")
    base = _landing(source, path, tree, destination, same=same)
    for other, item in sorted(entries.items()):
        tree = placed(tree, base + other[len(path) :], item)
    return tree


def moved(tree: Tree, path: str, destination: str) -> Tree:
    entries = below(tree, path)
    base = _landing(tree, path, tree, destination, same=True)
    if not is_file(tree, path) and any(inside(other, base) for other in tree):
        raise Refused(f"{base} is not empty")
    tree = {other: item for other, item in tree.items() if other not in entries}
    for other, item in sorted(entries.items()):
        tree = placed(tree, base + other[len(path) :], item)
    return tree


def _landing(source: Tree, path: str, target: Tree, destination: str, *, same: bool) -> str:
    place = destination
    if is_directory(target, place):
        place = f"{place}/{path.rsplit('/', 1)[-1]}".lstrip("/")
        if is_file(source, path) and is_directory(target, place):
            raise Refused(f"{place} is a directory")
    if not is_file(source, path) and is_file(target, place):
        raise Refused(f"{place} is a file")
    if same and (place == path or (not is_file(source, path) and inside(place, path))):
        raise Refused(f"{path} into itself")
    return place


def tagged(tree: Tree, path: str, key: str, value: Json) -> Tree:
    """An attribute set, or removed with None; a directory of which only files told is one on purpose then."""
    if path not in tree and not is_directory(tree, path):
        raise Refused(f"nothing at {path}")
    item = tree.get(path, Item(None, {}))
    attributes = {name: old for name, old in item.attributes.items() if name != key}
    if value is not None:
        attributes[key] = value
    return tree | {path: item._replace(attributes=attributes)}


def restored(old: Tree, path: str, tree: Tree) -> Tree:
    wanted = below(old, path)
    tree = {other: item for other, item in tree.items() if other != path and not inside(other, path)}
    for other, item in sorted(wanted.items()):
        tree = placed(tree, other, item)
    return tree
