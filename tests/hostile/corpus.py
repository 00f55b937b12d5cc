"""Builds the hostile files: `python tests/hostile/corpus.py FOLDER` writes them and `manifest.json`, which says what each is.

`expect` is `refused` (with an error's reason, before anything is decoded), `typed` (decoded, or refused with a typed error: the
fault shows only in the pixels) or `taken`.
"""

from __future__ import annotations

import io
import json
import random
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

INVALID, TOO_LARGE = "IMAGE_INVALID", "IMAGE_TOO_LARGE"
File = tuple[str, bytes, str]
"""Kind and name, such as `bomb/png-header`; the bytes; what is expected: an error's reason, `typed` or `taken`."""
PNG = b"\x89PNG\r\n\x1a\n"
PHOTO = Image.effect_mandelbrot((96, 64), (-2, -1.5, 1, 1.5), 60).convert("RGB")


def file_of(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def moving(format: str, frames: int, size: tuple[int, int] = (16, 16)) -> bytes:
    images = [Image.new("RGB", size, (index * 7 % 250, 0, 0)) for index in range(frames)]
    return file_of(images[0], format, save_all=True, append_images=images[1:], duration=10)


SOUND = {
    "png": file_of(PHOTO, "PNG"),
    "interlaced": b"",
    "jpeg": file_of(PHOTO, "JPEG"),
    "progressive": file_of(PHOTO, "JPEG", progressive=True),
    "cmyk": file_of(PHOTO.convert("CMYK"), "JPEG"),
    "webp": file_of(PHOTO, "WEBP"),
    "lossless": file_of(PHOTO, "WEBP", lossless=True),
    "avif": file_of(PHOTO, "AVIF", speed=10),
    "gif": file_of(PHOTO, "GIF"),
    "palette": file_of(PHOTO.quantize(32), "PNG"),
}
del SOUND["interlaced"]
HOSTS = ("png", "jpeg", "webp", "avif", "gif")


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def ihdr(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    return PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def png(*chunks: bytes, width: int = 8, height: int = 8) -> bytes:
    return ihdr(width, height) + b"".join(chunks) + chunk(b"IEND", b"")


def idat(raw: bytes) -> bytes:
    return chunk(b"IDAT", zlib.compress(raw, 9))


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8x(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", struct.pack("<I", flags) + canvas


def vp8l(width: int, height: int) -> tuple[bytes, bytes]:
    return b"VP8L", b"\x2f" + struct.pack("<I", width - 1 | height - 1 << 14) + bytes(8)


def gif(width: int, height: int, *blocks: bytes) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + b"".join(blocks) + b";"


def gif_frame(width: int, height: int, left: int = 0, top: int = 0, pixels: bytes = b"\x02\x4c\x01") -> bytes:
    pieces = [pixels[at : at + 255] for at in range(0, len(pixels), 255)]
    data = b"".join(bytes([len(piece)]) + piece for piece in pieces)
    return b"," + struct.pack("<HHHHB", left, top, width, height, 0) + b"\x02" + data + b"\0"


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def jpeg_sized(width: int, height: int) -> bytes:
    at = SOUND["jpeg"].index(b"\xff\xc0")
    return SOUND["jpeg"][: at + 5] + struct.pack(">HH", height, width) + SOUND["jpeg"][at + 9 :]


def avif_sized(width: int, height: int, host: bytes = SOUND["avif"]) -> bytes:
    at = host.index(b"ispe") + 8
    return host[:at] + struct.pack(">II", width, height) + host[at + 8 :]


def put(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def bombs() -> Iterator[File]:
    yield "png-header", png(idat(bytes(100_000)), width=100_000, height=100_000), TOO_LARGE
    yield "png-51-megapixels", png(idat(b""), width=10_200, height=5_000), TOO_LARGE
    yield "png-2-to-the-31", png(idat(b""), width=1 << 31, height=1), INVALID
    yield "png-49-megapixels-in-100-bytes", png(idat(bytes(99)), width=7_000, height=7_000), INVALID
    yield "png-pixels-of-50-megabytes-for-8x8", png(idat(bytes(50_000_000))), "typed"
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(80_000_000), 9))
    yield "png-profile-of-80-megabytes", png(profile, idat(bytes(8 * 25))), "typed"
    text = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(80_000_000), 9))
    yield "png-text-of-80-megabytes", png(text, idat(bytes(8 * 25))), "taken"
    yield "jpeg-65535-square", jpeg_sized(65_535, 65_535), TOO_LARGE
    yield "jpeg-49-megapixels-in-4-kilobytes", jpeg_sized(7_000, 7_000), INVALID
    progressive = SOUND["progressive"]
    scan = progressive.rindex(b"\xff\xda")
    yield "jpeg-1000-scans", progressive[:-2] + progressive[scan:-2] * 1000 + b"\xff\xd9", INVALID
    yield "gif-canvas", gif(65_535, 65_535, gif_frame(1, 1)), TOO_LARGE
    yield "gif-frame-larger-than-its-canvas", gif(16, 16, gif_frame(65_535, 65_535)), INVALID
    yield "gif-49-megapixels-in-3-bytes", gif(7_000, 7_000, gif_frame(7_000, 7_000)), INVALID
    yield "webp-canvas", riff(vp8x(16_383, 16_383), (b"ANMF", bytes(16))), TOO_LARGE
    yield "webp-canvas-of-2-to-the-24", riff(vp8x(1 << 24, 1 << 24), vp8l(1, 1)), INVALID
    yield "webp-lossless-header", riff(vp8l(16_384, 16_384)), TOO_LARGE
    key = b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383)
    yield "webp-lossy-header", riff((b"VP8 ", key + bytes(20))), TOO_LARGE
    frames = moving("WEBP", 2, (512, 512))
    at = frames.index(b"ANMF") + 14
    small = (15).to_bytes(3, "little") * 2
    yield "webp-frame-larger-than-its-canvas", put(put(frames, 24, small), at, small), "typed"
    yield "avif-header", avif_sized(100_000, 100_000), TOO_LARGE
    large = file_of(Image.new("RGB", (2048, 2048)), "AVIF", speed=10, quality=10)
    yield "avif-larger-than-it-says", avif_sized(16, 16, large), INVALID
    for order, mark in (("<", b"II*\0"), (">", b"MM\0*")):
        tags = [(256, 4, 1, 100_000), (257, 4, 1, 100_000), (258, 3, 1, 8), (259, 3, 1, 1), (273, 4, 1, 8)]
        entries = b"".join(struct.pack(order + "HHII", *tag) for tag in tags)
        body = mark + struct.pack(order + "IH", 8, len(tags)) + entries + bytes(4)
        yield f"tiff-{mark[:2].decode().lower()}", body, INVALID
    yield "tiff-big", b"II+\0\x08\0\0\0" + bytes(64), INVALID
    yield "too-many-bytes", SOUND["jpeg"] + bytes(20_000_001), TOO_LARGE


def giants() -> Iterator[File]:
    """One pixel high or wide."""
    for name, wide, high in (("high", 2_000_000, 1), ("wide", 1, 2_000_000)):
        yield f"png-one-{name}", png(idat(b""), width=wide, height=high), TOO_LARGE
        yield f"avif-one-{name}", avif_sized(wide, high), TOO_LARGE
        wide, high = min(wide, 65_535), min(high, 65_535)
        yield f"jpeg-one-{name}", jpeg_sized(wide, high), TOO_LARGE
        yield f"gif-one-{name}", gif(wide, high, gif_frame(wide, high)), TOO_LARGE
        yield f"webp-one-{name}", riff(vp8l(min(wide, 16_384), min(high, 16_384))), TOO_LARGE
    for size in ((16_383, 1), (1, 16_383)):
        for format in ("PNG", "JPEG", "WEBP", "GIF"):
            kept = file_of(Image.new("RGB", size), format)
            yield f"{format.lower()}-largest-side-{size[0]}x{size[1]}", kept, "taken"
    yield "png-zero-wide", png(idat(b""), width=0), INVALID
    yield "png-zero-high", png(idat(b""), height=0), INVALID
    yield "jpeg-zero", jpeg_sized(0, 0), INVALID
    yield "gif-zero", gif(0, 0, gif_frame(1, 1)), INVALID
    yield "gif-frame-of-nothing", gif(8, 8, gif_frame(0, 8)), INVALID
    yield "avif-zero", avif_sized(0, 64), INVALID


def kinds() -> Iterator[File]:
    """Other kinds of files, and what is no file at all."""
    yield "empty", b"", INVALID
    yield "one-byte", b"\xff", INVALID
    yield "text", b"hello, world", INVALID
    svg = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    yield "svg", svg, INVALID
    yield "svg-bare", b"\xef\xbb\xbf  <svg width='1e9'/>", INVALID
    lol = b"<!DOCTYPE svg [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]><svg><text>&b;</text></svg>"
    yield "svg-entities", b"<?xml version='1.0'?>" + lol, INVALID
    yield "svg-packed", zlib.compress(b"<svg/>"), INVALID
    yield "html", b"<!doctype html><script>alert(1)</script>", INVALID
    yield "tiff", file_of(PHOTO, "TIFF"), INVALID
    yield "bmp", file_of(PHOTO, "BMP"), INVALID
    yield "ico", file_of(PHOTO.resize((16, 16)), "ICO"), INVALID
    yield "heic", struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic", INVALID
    yield "mp4", struct.pack(">I", 24) + b"ftypisom\0\0\0\0isomiso2", INVALID
    yield "postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n", INVALID
    yield "avi", b"RIFF\x20\0\0\0AVI LIST" + bytes(24), INVALID


def truncated() -> Iterator[File]:
    """Every sound file cut short at each percent."""
    for name, whole in SOUND.items():
        for percent in range(100):
            yield f"{name}-{percent:02}-percent", whole[: len(whole) * percent // 100], INVALID


def lengths() -> Iterator[File]:
    """Wrong lengths of chunks, segments, boxes and pieces."""
    yield "png-chunk-longer-than-file", ihdr(8, 8) + b"\x7f\xff\xff\xffIDAT", INVALID
    yield "png-chunk-longer-than-it-is", put(SOUND["png"], 33, b"\0\xff\xff\xff"), INVALID
    yield "png-chunk-shorter-than-it-is", put(SOUND["png"], 33, b"\0\0\0\1"), INVALID
    yield "png-header-longer", put(SOUND["png"], 8, b"\0\0\0\x0e"), INVALID
    yield "png-no-header", PNG + chunk(b"IDAT", b"x") + chunk(b"IEND", b""), INVALID
    yield "png-no-pixels", png(), INVALID
    yield "png-signature-only", PNG, INVALID
    yield "png-pixels-empty", png(chunk(b"IDAT", b"")), "typed"
    yield "png-pixels-too-few", png(idat(bytes(40))), "typed"
    jpeg = SOUND["jpeg"]
    at = jpeg.index(b"\xff\xc0")
    yield "jpeg-segment-longer-than-file", put(jpeg, 4, b"\xff\xff"), INVALID
    yield "jpeg-segment-of-length-0", put(jpeg, 4, b"\0\0"), INVALID
    yield "jpeg-segment-of-length-1", put(jpeg, 4, b"\0\1"), INVALID
    yield "jpeg-frame-shorter-than-it-is", put(jpeg, at + 2, b"\0\5"), INVALID
    yield "jpeg-two-frames", jpeg[:at] + jpeg[at : at + 19] + jpeg[at:], INVALID
    yield "jpeg-start-only", b"\xff\xd8\xff", INVALID
    yield "jpeg-all-fill", b"\xff\xd8" + b"\xff" * 1_000_000, INVALID
    webp = SOUND["webp"]
    yield "webp-longer-than-file", put(webp, 4, b"\xff\xff\xff\xff"), INVALID
    yield "webp-shorter-than-it-is", put(webp, 4, b"\x14\0\0\0"), INVALID
    yield "webp-chunk-longer-than-file", put(webp, 16, b"\xff\xff\xff\x7f"), INVALID
    yield "webp-chunk-of-length-0", riff((b"VP8 ", b"")), INVALID
    yield "webp-no-pixels", riff(), INVALID
    avif = SOUND["avif"]
    for name, size in (("0", 0), ("1", 1), ("7", 7), ("4-gigabytes", 0xFFFFFFFF)):
        for box in (b"ftyp", b"meta", b"iloc", b"ipco", b"mdat"):
            # A length of 0 means up to the end, and the last box may say so.
            expect = "typed" if box == b"mdat" else "typed" if name == "0" else INVALID
            yield (
                f"avif-{box.decode()}-of-length-{name}",
                put(avif, avif.index(box) - 4, struct.pack(">I", size)),
                expect,
            )
    gif_file = SOUND["gif"]
    frame = gif_file.index(b",", 13 + 3 * 256)
    yield "gif-piece-longer-than-file", gif_file[: frame + 11] + b"\xff" * 40, INVALID
    yield "gif-colours-announced-and-absent", b"GIF89a\x08\0\x08\0\xf7\0\0;", INVALID
    yield "gif-no-pixels", gif(8, 8), INVALID
    yield "gif-pixels-too-few", gif(64, 64, gif_frame(64, 64)), "typed"
    yield "gif-code-size-of-200", put(gif_file, frame + 10, b"\xc8"), "typed"


def sums() -> Iterator[File]:
    """Wrong checksums, and pixels that are noise."""
    whole = SOUND["png"]
    yield "png-header", put(whole, 29, b"\0\0\0\0"), INVALID
    at = whole.index(b"IDAT")
    length = int.from_bytes(whole[at - 4 : at], "big")
    yield "png-pixels", put(whole, at + 4 + length, b"\0\0\0\0"), "typed"
    yield "png-deflate", put(whole, at + 4 + length - 4, b"\0\0\0\0"), "typed"
    text = chunk(b"tEXt", b"a\0b")[:-4] + bytes(4)
    yield "png-text", whole[:33] + text + whole[33:], "taken"
    yield "png-noise", png(chunk(b"IDAT", random.Random(1).randbytes(500))), "typed"
    flipped = bytes(byte ^ 0x5A for byte in whole[at + 40 : at + 60])
    yield "png-flipped-bits", put(whole, at + 40, flipped), "typed"
    bad = chunk(b"iCCP", b"x\0\0" + zlib.compress(b"nonsense"))
    yield "png-bad-profile", png(bad, idat(bytes(8 * 25))), "typed"
    yield "png-palette-without-palette", ihdr(8, 8, 8, 3) + idat(bytes(72)) + chunk(b"IEND", b""), "typed"
    yield "png-depth-of-3", ihdr(8, 8, 3, 2) + idat(bytes(400)) + chunk(b"IEND", b""), "typed"
    jpeg = SOUND["jpeg"]
    scan = jpeg.index(b"\xff\xda") + 20
    noise = random.Random(2).randbytes(400).replace(b"\xff", b"\0")
    yield "jpeg-noise", jpeg[:scan] + noise + b"\xff\xd9", "typed"
    yield "jpeg-no-tables", jpeg[:2] + jpeg[jpeg.index(b"\xff\xc0") :], "typed"
    yield "webp-noise", SOUND["webp"][:60] + random.Random(3).randbytes(len(SOUND["webp"]) - 60), "typed"
    lossless = SOUND["lossless"]
    yield "webp-lossless-noise", lossless[:40] + random.Random(4).randbytes(len(lossless) - 40), "typed"
    avif = SOUND["avif"]
    at = avif.index(b"mdat") + 4
    yield "avif-noise", avif[:at] + random.Random(5).randbytes(len(avif) - at), "typed"
    yield "avif-says-another-size", avif_sized(32, 32), "typed"
    frame = SOUND["gif"].index(b",", 13 + 3 * 256) + 12
    yield "gif-noise", SOUND["gif"][:frame] + random.Random(6).randbytes(254) + b"\0;", "typed"


def colours() -> Iterator[File]:
    """Colours by numbers: sound ones, and such that no matrix can be made of."""
    pixels = idat(bytes(8 * 25))
    gamma = chunk(b"gAMA", struct.pack(">I", 45_455))
    d65 = (31_270, 32_900)
    yield "png-p3", png(chunk(b"cICP", b"\x0c\x0d\0\1"), pixels), "taken"
    yield "png-codes-of-nothing", png(chunk(b"cICP", b"\xff\xff\xff\xff"), pixels), "taken"
    for name, corners in (
        ("adobe", (*d65, 64_000, 33_000, 21_000, 71_000, 15_000, 6_000)),
        ("zeros", (0,) * 8),
        ("ones", (2**32 - 1,) * 8),
        ("a-point", (*d65, *d65, *d65, *d65)),
        ("a-line", (*d65, 10_000, 10_000, 30_000, 30_000, 50_000, 50_000)),
        ("nearly-a-line", (*d65, 10_000, 10_000, 30_000, 30_001, 50_000, 50_000)),
        ("a-dark-white", (31_270, 1, 64_000, 33_000, 21_000, 71_000, 15_000, 6_000)),
    ):
        yield f"png-{name}", png(gamma, chunk(b"cHRM", struct.pack(">8I", *corners)), pixels), "taken"
    for power in (0, 1, 10_000, 200_000, 2**32 - 1):
        yield f"png-gamma-{power}", png(chunk(b"gAMA", struct.pack(">I", power)), pixels), "taken"
    yield "png-short-chromaticities", png(gamma, chunk(b"cHRM", b"short"), pixels), "taken"
    at = SOUND["avif"].index(b"nclx") + 4
    for name, codes in (("p3", (12, 13)), ("hdr", (9, 16)), ("codes-of-nothing", (65_535, 65_535))):
        yield f"avif-{name}", put(SOUND["avif"], at, struct.pack(">HH", *codes)), "taken"


def polyglots() -> Iterator[File]:
    """Files that are two things at once."""
    page = b"<html><script>alert(1)</script></html>"
    archive = b"PK\x03\x04" + bytes(26) + b"PK\x05\x06" + bytes(18)
    for name in HOSTS:
        yield f"{name}-and-html", SOUND[name] + page, "taken"
        yield f"{name}-and-zip", SOUND[name] + archive, "taken"
        yield f"zip-and-{name}", b"PK\x03\x04" + SOUND[name], INVALID
        yield f"html-and-{name}", page + SOUND[name], INVALID
        yield f"pdf-and-{name}", b"%PDF-1.7\n" + SOUND[name], INVALID
    yield "gif-and-javascript", b"GIF89a=1;alert(1);//" + SOUND["gif"][20:], "typed"
    yield "jpeg-and-php", b"\xff\xd8" + segment(0xFE, b"<?php system($_GET[0]); ?>") + SOUND["jpeg"][2:], "taken"
    yield "png-and-html-in-text", SOUND["png"][:33] + chunk(b"tEXt", b"a\0" + page) + SOUND["png"][33:], "taken"
    yield "jpeg-and-png", b"\xff\xd8\xff" + SOUND["png"], INVALID
    yield "png-and-jpeg", PNG + SOUND["jpeg"], INVALID
    yield "webp-in-avi", b"RIFF" + struct.pack("<I", len(SOUND["webp"])) + b"AVI " + SOUND["webp"][12:], INVALID


def metadata() -> Iterator[File]:
    """Metadata that is huge, or many, or runs in circles."""
    whole = SOUND["png"]
    yield "png-text-of-15-megabytes", whole[:33] + chunk(b"tEXt", b"a\0" + b"x" * 15_000_000) + whole[33:], "taken"
    yield "png-100000-chunks", png(chunk(b"tEXt", b"a\0b") * 100_000, idat(bytes(200))), INVALID
    jpeg = SOUND["jpeg"]
    exif = segment(0xE1, b"Exif\0\0" + bytes(65_527))
    yield "jpeg-exif-of-19-megabytes", jpeg[:2] + exif * 290 + jpeg[2:], "taken"
    yield "jpeg-100000-comments", jpeg[:2] + b"\xff\xfe\0\2" * 100_000 + jpeg[2:], INVALID
    nonsense = segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff")
    yield "jpeg-exif-beyond-its-end", jpeg[:2] + nonsense + jpeg[2:], "taken"
    circle = b"MM\0*\0\0\0\x08" + struct.pack(">HHHII", 1, 0x8769, 4, 1, 8) + struct.pack(">I", 8)
    yield "jpeg-exif-in-circles", jpeg[:2] + segment(0xE1, b"Exif\0\0" + circle) + jpeg[2:], "taken"
    crowd = b"MM\0*\0\0\0\x08\xff\xff" + struct.pack(">HHII", 0x010F, 2, 0x7FFFFFFF, 8) * 5_000
    yield "jpeg-exif-of-65535-entries", jpeg[:2] + segment(0xE1, b"Exif\0\0" + crowd) + jpeg[2:], "taken"
    lossless = SOUND["lossless"]
    image = (lossless[12:16], lossless[20 : 20 + int.from_bytes(lossless[16:20], "little")])
    xmp = (b"XMP ", b"x" * 15_000_000)
    yield "webp-xmp-of-15-megabytes", riff(vp8x(96, 64, 4), image, xmp), "taken"
    yield "webp-100000-chunks", riff(vp8x(96, 64, 4), *[(b"XMP ", b"")] * 100_000, image), INVALID
    avif = SOUND["avif"]
    exif_of_15 = b"Exif\0\0MM\0*\0\0\0\x08\0\0" + bytes(15_000_000)
    yield "avif-exif-of-15-megabytes", file_of(PHOTO, "AVIF", speed=10, exif=exif_of_15), "taken"
    free = struct.pack(">I", 8) + b"free"
    yield (
        "avif-100000-boxes",
        avif[: avif.index(b"meta") - 4] + free * 100_000 + avif[avif.index(b"meta") - 4 :],
        INVALID,
    )
    depth = b""
    for _ in range(2_000):
        depth = struct.pack(">I", len(depth) + 8) + b"meta" + depth
    yield "avif-2000-boxes-deep", avif[: avif.index(b"meta") - 4] + depth, INVALID
    comment = b"!\xfe" + (b"\xff" + b"x" * 255) * 58_000 + b"\0"
    gif_file = SOUND["gif"]
    yield "gif-comment-of-15-megabytes", gif_file[:-1] + comment + b";", "taken"
    yield "gif-comment-of-small-pieces", gif_file[:-1] + b"!\xfe" + b"\1x" * 5_000_000 + b"\0;", INVALID
    yield "gif-100000-comments", gif_file[:-1] + b"!\xfe\1x\0" * 100_000 + b";", INVALID


def manifests() -> Iterator[File]:
    """Content credentials that are noise, cut short, or large."""
    superbox = struct.pack(">I", 60_000) + b"jumb" + struct.pack(">I", 40) + b"jumdc2pa" + bytes(24)
    avif_box = bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + b"\0\0\0\0manifest\0" + bytes(8)
    jpeg, lossless = SOUND["jpeg"], SOUND["lossless"]
    image = (lossless[12:16], lossless[20 : 20 + int.from_bytes(lossless[16:20], "little")])
    for name, store in (
        ("noise", random.Random(7).randbytes(5_000)),
        ("boxes-of-noise", superbox + random.Random(8).randbytes(5_000)),
        ("nested-boxes", (struct.pack(">I", 16_000) + b"jumb") * 2_000),
        ("12-megabytes", superbox + bytes(12_000_000)),
    ):
        yield f"png-{name}", SOUND["png"][:33] + chunk(b"caBX", store) + SOUND["png"][33:], "taken"
        pieces = [store[at : at + 60_000] for at in range(0, len(store), 60_000)]
        segments = [
            segment(0xEB, b"JP\0\1" + struct.pack(">I", number) + piece) for number, piece in enumerate(pieces, start=1)
        ]
        yield f"jpeg-{name}", jpeg[:2] + b"".join(segments) + jpeg[2:], "taken"
        yield f"webp-{name}", riff(vp8x(96, 64), image, (b"C2PA", store)), "taken"
        whole = avif_box + store
        yield f"avif-{name}", SOUND["avif"] + struct.pack(">I", len(whole) + 8) + b"uuid" + whole, "taken"


def frames() -> Iterator[File]:
    """Animations, and files that say they are."""
    for format in ("PNG", "WEBP", "AVIF", "GIF"):
        yield f"{format.lower()}-30", moving(format, 30), "taken"
    yield "gif-100000", gif(16, 16, gif_frame(1, 1) * 100_000), INVALID
    yield "gif-60000", gif(1, 1, gif_frame(1, 1, pixels=b"\x44\x01") * 60_000), "taken"
    frame = (b"ANMF", bytes(16) + b"VP8L" + struct.pack("<I", len(vp8l(1, 1)[1])) + vp8l(1, 1)[1] + b"\0")
    yield "webp-100000", riff(vp8x(16, 16, 2), (b"ANIM", bytes(6)), *[frame] * 100_000), INVALID
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 10, 0, 0))
    still = idat(bytes(8 * 25))
    yield "png-100000", png(chunk(b"acTL", struct.pack(">II", 100_000, 0)), still, control * 100_000), INVALID
    yield "png-says-2-to-the-31", png(chunk(b"acTL", struct.pack(">II", 1 << 31, 0)), still), "taken"
    film = moving("AVIF", 3)
    at = film.index(b"stsz") + 12
    yield "avif-says-100000", put(film, at, struct.pack(">I", 100_000)), "typed"


def nested() -> Iterator[File]:
    """AVIF tables that point at each other, or too often."""
    avif = SOUND["avif"]
    at = avif.index(b"iloc")
    yield "avif-extents-beyond-the-file", put(avif, at + 22, b"\xff\xff\xff\xff"), "typed"
    end = at - 4 + int.from_bytes(avif[at - 4 : at], "big")
    extents = struct.pack(">HHH", 1, 0, 60_000) + struct.pack(">II", 0, len(avif)) * 60_000
    table = struct.pack(">I", len(extents) + 16) + b"iloc" + b"\0\0\0\0\x44\0" + struct.pack(">H", 1) + extents
    meta = avif.index(b"meta") - 4
    grown = int.from_bytes(avif[meta : meta + 4], "big") + len(table) - (end - at + 4)
    yield (
        "avif-60000-pieces-of-all",
        avif[:meta] + struct.pack(">I", grown) + avif[meta + 4 : at - 4] + table + avif[end:],
        INVALID,
    )
    twice = avif[:meta] + avif[meta : meta + int.from_bytes(avif[meta : meta + 4], "big")] + avif[meta:]
    yield "avif-two-tables", twice, INVALID
    yield "avif-start-only", avif[:32], INVALID


FAMILIES = {
    "bomb": bombs,
    "giant": giants,
    "kind": kinds,
    "truncated": truncated,
    "length": lengths,
    "checksum": sums,
    "colours": colours,
    "polyglot": polyglots,
    "metadata": metadata,
    "manifest": manifests,
    "frames": frames,
    "nested": nested,
}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    manifest = []
    for family, make in FAMILIES.items():
        for name, data, expect in make():
            (folder / f"{family}-{name}").write_bytes(data)
            reason = expect if expect in (INVALID, TOO_LARGE) else ""
            said = {"family": family, "file": f"{family}-{name}", "expect": "refused" if reason else expect}
            manifest.append({**said, "reason": reason})
    for name, data in SOUND.items():
        (folder / f"sound-{name}").write_bytes(data)
        manifest.append({"family": "sound", "file": f"sound-{name}", "expect": "taken", "reason": ""})
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))


if __name__ == "__main__":
    main()
