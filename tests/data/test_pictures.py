from __future__ import annotations

import hashlib
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from data_samples import encoded, jpeg, kinds, picture, put
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from headstart.data.examples import CellContent, FileContent
from headstart.data.pictures import MAX_PIXELS, READ, Picture, inspect_picture, quiet_pillow, sniff


def look(data: bytes, name: str = "photo") -> Picture:
    return inspect_picture(name, CellContent(lambda: data))


def the_bad(seen: Picture) -> str:
    """The kind of the one finding of a picture that is left out."""
    (finding,) = seen.findings
    assert not seen.readable
    assert finding.bad
    assert finding.severity == "left out"
    return finding.kind


def header_of_a_png(width: int, height: int, bits: int = 8) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_an_ordinary_photo_has_no_findings(tmp_path: Path) -> None:
    path = put(tmp_path / "1.JPG")
    seen = inspect_picture("cat/1.JPG", FileContent(path))
    assert seen == Picture(hashlib.sha256(jpeg()).hexdigest(), "JPEG", 32, 24, "RGB", (), True)


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG"])
def test_every_common_format_is_read(format_: str) -> None:
    seen = look(encoded(picture(), format_))
    assert (seen.format, seen.width, seen.height, seen.readable, seen.findings) == (format_, 32, 24, True, ())


def test_bytes_are_read_once() -> None:
    reads = []

    def load() -> bytes:
        reads.append(1)
        return jpeg()

    inspect_picture("x.jpg", CellContent(load))
    assert len(reads) == 1


def test_an_empty_file_is_left_out() -> None:
    assert the_bad(look(b"")) == "empty"


def test_a_truncated_jpeg_is_named_and_left_out() -> None:
    seen = look(jpeg()[:-40], "cat/torn.jpg")
    assert the_bad(seen) == "truncated"
    assert seen.findings[0].line() == "left out: cat/torn.jpg: the file ends before the picture does"


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9, 0.99])
def test_a_jpeg_cut_anywhere_is_left_out(progressive: bool, share: float) -> None:
    data = encoded(picture(200, 300), progressive=progressive)
    assert the_bad(look(data[: int(len(data) * share)])) == "truncated"


def test_a_jpeg_whose_end_was_filled_with_zeros_is_left_out() -> None:
    data = encoded(picture(200, 300))
    assert the_bad(look(data[:3000] + bytes(len(data) - 3000))) == "truncated"


def test_a_jpeg_cut_behind_its_thumbnail_is_left_out() -> None:
    thumbnail = jpeg(1)
    exif = b"\xff\xe1" + (len(thumbnail) + 8).to_bytes(2, "big") + b"Exif\0\0" + thumbnail
    data = jpeg()
    whole = data[:2] + exif + data[2:]
    assert look(whole).readable
    assert the_bad(look(whole[:-40])) == "truncated"


def test_a_jpeg_torn_inside_its_scan_is_left_out() -> None:
    data = encoded(picture(200, 300))
    middle = len(data) // 2
    seen = look(data[:middle] + b"\xff\x05" + data[middle:])
    assert the_bad(seen) == "truncated"
    assert "break off" in seen.findings[0].reason


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True}])
def test_whole_jpegs_of_any_kind_pass(options: dict[str, object]) -> None:
    assert look(encoded(picture(200, 300), **options) + b"trailing bytes").findings == ()


def test_a_truncated_png_is_left_out() -> None:
    assert the_bad(look(encoded(picture(), "PNG")[:-12])) == "truncated"
    assert the_bad(look(encoded(picture(), "PNG")[:20])) == "truncated"


def test_a_truncated_webp_is_left_out() -> None:
    assert the_bad(look(encoded(picture(), "WEBP")[:-30])) == "truncated"


@pytest.mark.parametrize("data", [b"hello, I am text", b"BM or not BM", b"P1easant", b"<!DOCTYPE html>", bytes(99)])
def test_what_is_no_picture_is_left_out(data: bytes) -> None:
    assert the_bad(look(data, "cat/1.jpg")) == "not-image"


def test_a_wrong_extension_is_noted_and_read_by_content() -> None:
    seen = look(encoded(picture(), "PNG"), "cat/1.jpg")
    assert (kinds(seen), seen.format, seen.readable) == (["wrong-extension"], "PNG", True)
    assert seen.findings[0].severity == "note"
    assert kinds(look(jpeg(), "cat/1.jpeg")) == kinds(look(jpeg(), "cat/1")) == []


def test_cmyk_is_repaired() -> None:
    seen = look(encoded(picture(mode="CMYK")))
    assert (kinds(seen), seen.mode, seen.findings[0].severity) == (["cmyk"], "CMYK", "repaired")


def deep(format_: str) -> bytes:
    values = np.linspace(0, 65535, 24 * 32).reshape(24, 32).astype(np.uint16)
    return encoded(Image.fromarray(values), format_)


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_repaired(format_: str) -> None:
    seen = look(deep(format_))
    assert (kinds(seen), seen.findings[0].severity) == (["16-bit"], "repaired")


def test_16_bit_colour_is_repaired_although_pillow_hides_it() -> None:
    assert kinds(look(header_of_a_png(8, 8, bits=16))) == ["16-bit"]


def test_transparency_is_repaired() -> None:
    assert kinds(look(encoded(picture(mode="RGBA"), "PNG"))) == ["alpha"]
    assert kinds(look(encoded(picture(mode="LA"), "PNG"))) == ["alpha"]


def test_a_palette_with_transparency_is_repaired() -> None:
    image = picture(mode="P")
    assert kinds(look(encoded(image, "PNG"))) == []
    assert kinds(look(encoded(image, "PNG", transparency=0))) == ["palette-alpha"]


@pytest.mark.parametrize("format_", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_used(format_: str) -> None:
    more = [picture(seed=1), picture(seed=2)]
    seen = look(encoded(picture(), format_, save_all=True, append_images=more))
    assert (kinds(seen), seen.findings[0].severity) == (["animated"], "repaired")
    assert ("pages" if format_ == "TIFF" else "frames") in seen.findings[0].reason


def test_a_picture_with_a_second_one_for_the_phone_is_an_ordinary_photo() -> None:
    seen = look(encoded(picture(), "MPO", save_all=True, append_images=[picture(seed=1)]), "1.jpg")
    assert (seen.format, seen.findings, seen.readable) == ("MPO", (), True)


def turned(value: int, format_: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return encoded(picture(), format_, exif=exif)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_photo_turned_by_exif_is_told_and_its_size_is_that_of_a_viewer(format_: str) -> None:
    seen = look(turned(6, format_))
    assert (kinds(seen), seen.width, seen.height) == (["exif-rotated"], 24, 32)
    assert kinds(look(turned(1, format_))) == kinds(look(turned(0, format_))) == []


def damaged_exif() -> bytes:
    data = jpeg()
    return data[:2] + b"\xff\xe1\x00\x14Exif\0\0II*\0\xff\xff\xff\xff\x99\x99\x99\x99" + data[2:]


def test_damaged_exif_data_are_no_reason_to_leave_a_photo_out() -> None:
    seen = look(damaged_exif())
    assert (seen.readable, seen.findings) == (True, ())


def test_a_decompression_bomb_is_left_out_without_decoding() -> None:
    for data in (header_of_a_png(20_000, 9_000), header_of_a_png(60_000, 60_000)):
        assert the_bad(look(data)) == "oversized"
    assert MAX_PIXELS == 178_956_970


def test_the_limit_holds_where_pillows_own_was_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    seen = look(header_of_a_png(20_000, 9_000))
    assert the_bad(seen) == "oversized"
    assert "20000 x 9000" in seen.findings[0].reason


def test_a_large_picture_and_damaged_exif_data_pass_without_a_warning() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        quiet_pillow.__wrapped__()
        assert look(header_of_a_png(12_000, 10_000)).findings == ()
        assert look(damaged_exif()).findings == ()
    assert caught == []


def test_a_tiny_picture_is_noted() -> None:
    seen = look(jpeg(height=4, width=40))
    assert (kinds(seen), seen.readable, seen.findings[0].severity) == (["tiny"], True, "note")
    assert "40 x 4" in seen.findings[0].reason


def test_a_content_that_cannot_be_read_is_named() -> None:
    def load() -> bytes:
        raise PermissionError(13, "Permission denied")

    seen = inspect_picture("cat/1.jpg", CellContent(load))
    assert the_bad(seen) == "unreadable"
    assert "Permission denied" in seen.findings[0].reason
    assert seen.digest == ""


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert the_bad(inspect_picture("1.jpg", FileContent(tmp_path / "1.jpg"))) == "unreadable"


@pytest.mark.parametrize(
    ("data", "format_"),
    [
        (b"%PDF-1.4 ...", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "EPS"),
        (b"\xd7\xcd\xc6\x9a" + bytes(60), "WMF"),
        (b"8BPS" + bytes(60), "PSD"),
        (b"\0\0\0\x18ftypheic" + bytes(60), "HEIC"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    ],
)
def test_formats_that_are_not_read_are_named(data: bytes, format_: str) -> None:
    seen = look(data)
    assert the_bad(seen) == "unsupported-format"
    assert format_ in seen.findings[0].reason
    assert format_ not in READ


@pytest.mark.parametrize("name", ["chat noir/été.jpg", "собака/犬 1.jpg", "cat/a\\udcff.jpg"])
def test_names_with_spaces_and_other_scripts_simply_work(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / name)
    assert inspect_picture(name, FileContent(path)).findings == ()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_nothing_that_is_damaged_raises(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(WHOLE))
    cut = data.draw(st.integers(0, len(whole)))
    broken = bytearray(whole[:cut])
    for _ in range(data.draw(st.integers(0, 4)) if broken else 0):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    seen = look(bytes(broken), "x")
    assert seen.readable != any(f.bad for f in seen.findings)


WHOLE = [encoded(picture(), f) for f in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")] + [turned(6, "JPEG")]


@given(st.binary(max_size=80))
def test_any_bytes_can_be_sniffed(data: bytes) -> None:
    assert isinstance(sniff(data), str)
