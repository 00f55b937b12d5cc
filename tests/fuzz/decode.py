"""Coverage-guided fuzzing of what a file goes through before it is a picture.

    pip install -r tests/fuzz/requirements.txt
    python tests/hostile/corpus.py /tmp/hostile
    python tests/fuzz/decode.py headers FOLDER -runs=1000000 -max_len=8192 /tmp/hostile

`headers` reads and strips (pure Python, instrumented), `decode` decodes too, by Pillow's decoders (native, not instrumented:
they are found by what the readers let through). Mutated PNG gets its checksums right, or no decoder would see any.
A finding is anything but a picture or one of our errors, a picture of another size than was checked, a stripped file that
isn't the same picture's, an input that takes 10 s or 2 GB. FOLDER keeps the inputs that reached something new.
"""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["imajin_servers.runtime.decoding"]):
    from imajin_servers.runtime.decoding.containers import sniff
    from imajin_servers.runtime.decoding.decode import Source, decode, inspect
    from imajin_servers.runtime.decoding.limits import Limits
    from imajin_servers.runtime.errors import ImageInvalid, ImageTooLarge

LIMITS = Limits(pixels=1_000_000)
"""Small pictures: what a million pixels do wrong, fewer do too."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def headers(data: bytes) -> Source | None:
    """Reads and strips, and holds the stripped file against the first."""
    try:
        source = inspect(data, LIMITS)
    except (ImageInvalid, ImageTooLarge):
        return None
    again = inspect(source.clean, LIMITS)
    kept = (again.header.format, again.header.upright, again.header.stated, again.clean)
    if kept != (source.header.format, source.header.upright, source.header.stated, source.clean):
        raise AssertionError("stripping twice is not stripping once")
    if again.removed:
        raise AssertionError(f"stripping left {again.removed}")
    return source


def whole(data: bytes) -> None:
    """Reads, strips and decodes."""
    source = headers(data)
    if source is None:
        return
    try:
        picture = decode(source)
    except ImageInvalid:
        return
    # What an AVIF's own turns make of its size is the decoder's to say.
    if (picture.width, picture.height) != source.header.upright and source.header.format != "avif":
        raise AssertionError("the picture is of another size than was checked")


def mutated(data: bytes, most: int, seed: int) -> bytes:
    """A mutation by libFuzzer; a PNG's checksums are made right most of the time."""
    new = bytes(atheris.Mutate(data, len(data)))[:most]
    return summed(new) if new.startswith(SIGNATURE) and seed % 8 else new


def summed(data: bytes) -> bytes:
    """A PNG whose chunks have the checksums that they should have."""
    out = io.BytesIO()
    out.write(data[:8])
    position = 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        out.write(data[position:end] + struct.pack(">I", zlib.crc32(data[position + 4 : end])))
        position = end + 4
    out.write(data[position:])
    return out.getvalue()


TARGETS: dict[str, Callable[[bytes], object]] = {"headers": headers, "decode": whole}


def main() -> None:
    """Fuzzes the target that the first argument names."""
    assert sniff
    name, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], "-timeout=10", "-rss_limit_mb=2048", *options], TARGETS[name], custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
