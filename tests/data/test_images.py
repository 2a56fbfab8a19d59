import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from mtlkit.data.folder import Folder
from mtlkit.data.images import LARGEST, image_size, read_ids, read_image, readable
from mtlkit.data.paths import FOLLOW_LINKS, inside, relative
from mtlkit.errors import InputError

COLOURS = np.array([[[250, 10, 20], [30, 240, 50], [7, 8, 9]]], dtype=np.uint8).repeat(2, axis=0)


def turned(path, orientation: int, mode: str = "RGB") -> None:
    """COLOURS, upright once a reader has applied the EXIF orientation."""
    how = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLOURS).convert(mode).transpose(how[orientation]).save(path, exif=exif)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_an_image_is_turned_as_its_exif_orientation_says(tmp_path, orientation):
    turned(tmp_path / "a.png", orientation)
    assert read_image(tmp_path / "a.png").permute(1, 2, 0).tolist() == COLOURS.tolist()
    assert image_size(tmp_path / "a.png") == (3, 2)
    turned(tmp_path / "ids.png", orientation, "L")
    assert read_ids(tmp_path / "ids.png").shape == (2, 3)


def test_16_bit_grey_keeps_its_greys_in_every_layout(tmp_path):
    grey = np.array([[0, 100 * 256 + 77, 65535]], np.uint16)
    for folder in ("image", "splits"):
        (tmp_path / folder).mkdir()
    for name in "ab":
        Image.fromarray(grey).save(tmp_path / f"image/{name}.png")
    (tmp_path / "splits/train.txt").write_text("a\n")
    (tmp_path / "splits/val.txt").write_text("b\n")
    (tmp_path / "classes.txt").write_text("0 wall\n")
    assert Folder(tmp_path, "train", ())[0]["image"][:, 0].tolist() == [[0, 100, 255]] * 3
    assert read_image(tmp_path / "image/a.png")[:, 0].tolist() == [[0, 100, 255]] * 3


def test_32_bits_of_unknown_white_are_refused(tmp_path):
    Image.fromarray(np.full((2, 2), 255, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"a\.tif has 32-bit pixels; an image needs 8 or 16 bits a channel\."):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "content",
    [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n", b"P6 2 2 255 " + bytes(12), b""],
    ids=["eps", "ppm", "empty"],
)
def test_a_name_does_not_make_another_format_an_image(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.jpg cannot .* \(it is none of JPEG, PNG, WEBP, BMP, TIFF\)"):
        read_image(tmp_path / "a.jpg")
    assert not readable(tmp_path / "a.jpg", whole=False)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def grey_png(path, bits: int) -> None:
    """Four pixels of the values 3, 2, 1 and 0, each of ``bits`` bits."""
    packed = sum(value << bits * place for place, value in enumerate(range(4))) << (-4 * bits % 8)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" + packed.to_bytes((4 * bits + 7) // 8, "big")))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))


def test_class_ids_that_pillow_would_scale_are_refused(tmp_path):
    grey_png(tmp_path / "8.png", 8)
    assert read_ids(tmp_path / "8.png").tolist() == [[3, 2, 1, 0]]
    for bits in (2, 4):
        grey_png(tmp_path / f"{bits}.png", bits)
        with pytest.raises(InputError, match=rf"{bits}\.png has {bits} bits a pixel; class ids need an 8-bit grey PNG"):
            read_ids(tmp_path / f"{bits}.png")
    Image.new("1", (4, 1)).save(tmp_path / "1.png")
    with pytest.raises(InputError, match=r"1\.png has the pixel mode 1; class ids need an 8-bit grey PNG"):
        read_ids(tmp_path / "1.png")


def test_a_palette_of_few_bits_keeps_its_places(tmp_path):
    places = Image.fromarray(np.array([[3, 2, 1, 0]], np.uint8), "P")
    places.putpalette([*range(12)])
    places.save(tmp_path / "ids.png", bits=2)
    assert (tmp_path / "ids.png").read_bytes()[24] == 2
    assert read_ids(tmp_path / "ids.png").tolist() == [[3, 2, 1, 0]]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_class_ids_in_another_format_under_a_pngs_name_are_refused(tmp_path, kind):
    Image.new("L", (16, 16), 3).save(tmp_path / "ids.png", format=kind)
    with pytest.raises(InputError, match=rf"ids\.png holds {kind} content; class ids need an 8-bit grey PNG"):
        read_ids(tmp_path / "ids.png")


def test_an_image_that_is_too_large_is_refused_before_it_is_decoded(tmp_path):
    side = 1 << 15
    assert side**2 > LARGEST
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(10)))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))
    for read in (read_image, read_ids, image_size):
        with pytest.raises(InputError, match=r"bomb\.png has more than 178,956,970 pixels; reduce it\."):
            read(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a.jpg", "b/../../a.jpg", "/a.jpg", "C:\\a.jpg", "..\\a.jpg", "a\0.jpg"]
)
def test_a_path_that_leads_out_of_its_folder_is_named_with_its_row(name):
    with pytest.raises(InputError, match=r"list, line 3, names .*; a path should lead to a file inside"):
        relative(name, "list, line 3,")
    assert relative("a/..b/c d.jpg", "list, line 3,") == "a/..b/c d.jpg"


def test_a_link_out_of_the_folder_is_followed_only_where_that_is_allowed(tmp_path, monkeypatch):
    root, beside = tmp_path / "set", tmp_path / "set2"
    for folder in (root, beside):
        folder.mkdir()
        Image.fromarray(COLOURS).save(folder / "a.png")
    (root / "near.png").symlink_to(root / "a.png")
    (root / "far.png").symlink_to(beside / "a.png")
    (root / "folder").symlink_to(beside)
    (tmp_path / "link").symlink_to(root)
    inside(tmp_path / "link", root / "near.png")
    assert torch.equal(read_image(root / "near.png", root), read_image(beside / "a.png"))
    for path in (root / "far.png", root / "folder/a.png"):
        with pytest.raises(InputError, match=r"lies outside of the data set's folder .*set2/a\.png; copy it there, or"):
            read_image(path, root)
    monkeypatch.setenv(FOLLOW_LINKS, "1")
    assert read_image(root / "far.png", root).shape == (3, 2, 3)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_size_in_a_header_is_that_of_the_image_as_it_is_read(orientation, suffix, tmp_path):
    path, exif = tmp_path / f"turned.{suffix}", Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (7, 4), (10, 20, 30)).save(path, exif=exif)
    assert image_size(path) == tuple(read_image(path).shape[:0:-1])
    Image.new("RGB", (7, 4), (10, 20, 30)).save(path)
    assert image_size(path) == (7, 4)
