"""From annotations, whatever their format, to examples: sizes checked, boxes repaired, pictures each there once."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal

from headstart.data.box_repair import Frame, RawBox, Remark, Size, in_shares, repaired, without_copies
from headstart.data.examples import Box, Content, Example, Examples, FileContent, Finding, Part
from headstart.data.pictures import HEADER_ERRORS, READ, orientation, quiet_pillow, sniff
from headstart.errors import DataError

_THREADS = 8  # reading headers waits for the disk
_SHOWN = 3
_BEFORE: dict[Part, int] = {"": 0, "train": 1, "valid": 2, "test": 3}
_UPRIGHT = 1
Unit = Literal["pixels", "shares"]


@dataclass(frozen=True)
class Drawn:
    """A picture with its boxes as the annotation has them; `size` is what it states, None where it states none."""

    name: str
    content: Content
    part: Part
    boxes: tuple[RawBox, ...]
    size: Size | None = None


@dataclass(frozen=True)
class Sides:
    """The size of a picture as it is stored, and how EXIF says that it be turned."""

    stored: Size
    orientation: int = _UPRIGHT

    @property
    def shown(self) -> Size:
        return self.stored[::-1] if self.orientation > 4 else self.stored


def stated_size(width: float, height: float) -> Size | None:
    """Return a size as an annotation states it; None where it is none, as 0 x 0."""
    return (width, height) if 0 < width < float("inf") and 0 < height < float("inf") else None


def measured(contents: Iterable[Content]) -> list[Sides | None]:
    """Return the sizes of pictures by their headers; None where there is none to read."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(sides, contents))


def sides(content: Content) -> Sides | None:
    """Return the size of one picture, read from its header; None where that cannot be read. Never raises for data."""
    try:
        if isinstance(content, FileContent):
            with content.path.open("rb") as handle:
                return _header(handle)
        return _header(io.BytesIO(content.read()))
    except HEADER_ERRORS:
        return None


def _header(handle: BinaryIO) -> Sides | None:
    from PIL import Image

    quiet_pillow()
    format_ = sniff(handle.read(64))
    if format_ not in READ:
        return None
    handle.seek(0)
    try:
        with Image.open(handle, formats=[format_]) as picture:
            turn = _UPRIGHT if format_ == "TIFF" else orientation(picture)  # Pillow's size of a TIFF is that after
            return Sides((float(picture.width), float(picture.height)), turn)
    except Image.DecompressionBombError:
        return None


def examples_of(
    drawn: Sequence[Drawn],
    how: str,
    findings: Iterable[Finding] = (),
    unit: Unit = "pixels",
    origin: int = 0,
    known: Sequence[Sides | None] | None = None,
) -> Examples:
    """Make Examples of annotated pictures.

    A picture without boxes stays, as one on which there is nothing. One all of whose boxes are left out does not:
    there is something on it of which nothing is known.

    Args:
        drawn: the pictures, in the order of their files.
        how: how they were read, for the report.
        findings: what the reader found.
        unit: what the coordinates are; shares of the sides are also found by looking.
        origin: the number of the first pixel.
        known: the sizes of the pictures, where they have been read.

    Raises:
        DataError: no picture with a box is left.
    """
    out = list(findings)
    seen = measured(d.content for d in drawn) if known is None else known
    sized = {d.name: found for d, found in zip(drawn, seen, strict=True)}
    once = _once(drawn, out)
    if unit == "pixels" and in_shares(b.corners for d in once for b in d.boxes):
        unit, origin = "shares", 0
        out.append(Finding("all boxes", "box-shares", "repaired", "they are shares of the sides, read as pixels"))
    stored = _stored_wins(once, sized)
    items: list[Example] = []
    for each in once:
        example = _example(each, sized[each.name], unit, origin, stored, out)
        items += [example] if example else []
    items.sort(key=lambda e: (_BEFORE[e.part], e.name))
    out += [f for f in (_negatives(items), _crowds(items)) if f]
    if not any(e.target for e in items):
        raise _no_boxes(out)
    return Examples(tuple(items), how, tuple(_gathered(out)), "picture", "boxes")


def _once(drawn: Sequence[Drawn], findings: list[Finding]) -> list[Drawn]:
    """Join what is said of one picture twice; of a picture in two parts the later keeps it, as judging comes first."""
    by_name: dict[str, list[Drawn]] = {}
    for each in drawn:
        by_name.setdefault(each.name, []).append(each)
    out = []
    for name, group in by_name.items():
        last = max((d.part for d in group), key=_BEFORE.__getitem__)
        for part in sorted({d.part for d in group if d.part != last}):
            reason = f"listed as {part or 'of no part'} too, where it is not used: it is in the {last} part"
            findings.append(Finding(name, "duplicate-across-parts", "left out", reason))
        mine = [d for d in group if d.part == last]
        if len(mine) > 1:
            reason = f"it is listed {len(mine)} times; its boxes are taken together"
            findings.append(Finding(name, "picture-twice", "repaired", reason))
        out.append(replace(mine[0], boxes=tuple(box for d in mine for box in d.boxes)))
    return out


def _example(
    drawn: Drawn, sides: Sides | None, unit: Unit, origin: int, stored: bool, findings: list[Finding]
) -> Example | None:
    shown = sides.shown if sides else drawn.size
    if shown is None:
        reason = "its size can be read nowhere, and so not where its boxes are"
        findings.append(Finding(drawn.name, "unreadable", "left out", reason, bad=True))
        return None
    frame, remark = _frame(drawn.size, sides or Sides(shown), stored, origin)
    frame = Frame(shown, (1.0, 1.0)) if unit == "shares" else frame
    if remark and unit == "pixels" and drawn.boxes:
        findings.append(Finding(drawn.name, *remark))
    boxes, remarks = _boxes(drawn.boxes, frame)
    findings += [Finding(f"{drawn.name}, box {i + 1}", *each) for i, each in remarks]
    if drawn.boxes and not boxes:
        reason = f"none of its boxes can be used ({len(drawn.boxes)}), so what is on it is not known"
        findings.append(Finding(drawn.name, "no-usable-box", "left out", reason, bad=True))
        return None
    return Example(drawn.name, drawn.content, boxes, drawn.part)


def _boxes(raws: Sequence[RawBox], frame: Frame) -> tuple[tuple[Box, ...], list[tuple[int, Remark]]]:
    both = [repaired(raw, frame) for raw in raws]
    kept, copies = without_copies([box for box, _ in both])
    remarks = [(i, remark) for i, (_, said) in enumerate(both) for remark in said]
    remarks += copies.items()
    return tuple(replace(box, of=frame.shown) for box in kept if box), sorted(remarks, key=lambda pair: pair[0])


def _stored_wins(drawn: Iterable[Drawn], sized: dict[str, Sides | None]) -> bool:
    """Whether the annotations refer to pictures as they are stored, by those whose stated sides tell it."""
    votes: Counter[bool] = Counter()
    for each in drawn:
        found = sized[each.name]
        if each.size and found and found.stored != found.shown and each.size in (found.stored, found.shown):
            votes[each.size == found.stored] += 1
    return votes[True] > votes[False]


def _frame(stated: Size | None, sides: Sides, stored_wins: bool, origin: int) -> tuple[Frame, Remark | None]:
    """Return how coordinates become pixels of the picture as shown, and what there is to say of it."""
    turn, shown, stored = sides.orientation, sides.shown, sides.stored
    same = Frame(shown, shown, 1, origin)
    as_shown, as_stored = stated is None or _alike(stated, shown), stated is None or _alike(stated, stored)
    refers = "turned upright as its EXIF data say; its boxes are taken to refer to"
    if turn == _UPRIGHT or (as_shown and not (as_stored and stored_wins)):
        told: Remark = ("exif-shown", "note", f"it is {refers} the upright picture")
        if stated is None or stated == shown:
            return same, told if turn != _UPRIGHT else None
        return _scaled(stated, shown, origin)
    if as_stored:
        frame = Frame(shown, stated or stored, turn, origin)
        return frame, ("exif-turned", "repaired", f"it is {refers} the picture as stored, and are turned with it")
    return _scaled(stated or shown, shown, origin)


def _scaled(stated: Size, shown: Size, origin: int) -> tuple[Frame, Remark]:
    said = f"the annotation speaks of {_by(stated)} pixels, the picture has {_by(shown)}"
    if _alike(stated, shown):
        return Frame(shown, stated, 1, origin), ("size-scaled", "repaired", f"{said}; its boxes are scaled")
    kind = "size-swapped" if stated == shown[::-1] else "size-differs"
    return Frame(shown, shown, 1, origin), (kind, "note", f"{said}; its boxes are taken as they are")


def _alike(a: Size, b: Size) -> bool:
    """Whether two sizes are of one shape, but for the rounding of the smaller."""
    small, large = sorted((a, b))
    return abs(large[0] * small[1] / large[1] - small[0]) <= 1 or abs(large[1] * small[0] / large[0] - small[1]) <= 1


def _by(size: Size) -> str:
    return f"{size[0]:g} x {size[1]:g}"


def _negatives(items: Sequence[Example]) -> Finding | None:
    names = [e.name for e in items if not e.target]
    reason = f"{len(names)} of {len(items)} pictures have no boxes; they are kept, as showing nothing"
    return Finding(_few(names), "no-boxes", "note", reason) if names else None


def _crowds(items: Sequence[Example]) -> Finding | None:
    names = [f"{e.name}, {box.label}" for e in items for box in _of(e) if box.crowd]
    hold = "box holds" if len(names) == 1 else "boxes hold"
    reason = f"{len(names)} {hold} a crowd whose members are not told apart"
    return Finding(_few(names), "box-crowd", "note", reason) if names else None


def _of(example: Example) -> list[Box]:
    return [box for box in example.target if isinstance(box, Box)] if isinstance(example.target, tuple) else []


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + " …" * (len(names) > _SHOWN)


def _gathered(findings: Sequence[Finding]) -> list[Finding]:
    """Say a note that many boxes or pictures share once, with their number."""
    notes: dict[tuple[str, str], list[Finding]] = {}
    for f in findings:
        if f.severity == "note":
            notes.setdefault((f.kind, f.reason), []).append(f)
    out = [f for f in findings if f.severity != "note"]
    for (kind, reason), group in notes.items():
        often = f" ({len(group)} times)" if len(group) > 1 else ""
        out.append(Finding(_few([f.name for f in group]), kind, "note", reason + often))
    return out


def _no_boxes(findings: Sequence[Finding]) -> DataError:
    said = [f.line() for f in findings if f.severity == "left out"]
    return DataError(
        "There is no picture with a box that can be used.",
        found="; ".join(said[:_SHOWN]) or "annotations without boxes",
        hint="Do the annotations belong to these pictures, and name the classes of their boxes?",
    )
