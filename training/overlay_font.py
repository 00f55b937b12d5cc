"""Builds the font of text overlays out of the Noto fonts that PyPI's `manimgx-fonts` carries.

    pip download --no-deps manimgx-fonts==2026.9.26.post1 && unzip manimgx_fonts-*.whl
    python training/overlay_font.py manimgx_fonts servers/imajin_servers/runtime/overlay/fonts

Each font is set to one weight, stripped of hinting and merged into one file, so that a line may mix scripts.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from fontTools import subset
from fontTools.merge import Merger
from fontTools.ttLib import TTFont
from fontTools.varLib.instancer import instantiateVariableFont

SCRIPTS = ["", "Armenian", "Georgian", "Hebrew", "Thai", "Arabic", "Devanagari"]
WEIGHT = 600
ASCENT, DESCENT = 1100, -400
"""Of a line, in thousandths of an em: between Latin's and the deepest of the other scripts', which merging would take."""
LATIN_FEATURES = ["ccmp", "locl", "liga", "calt", "rlig", "kern", "mark", "mkmk"]


def instance(source: Path, features: list[str], target: Path) -> None:
    """Writes the semibold of the variable font `source`, every character kept, to `target`."""
    font = TTFont(source)
    axes = {axis.axisTag: WEIGHT if axis.axisTag == "wght" else 100 for axis in font["fvar"].axes}
    font = instantiateVariableFont(font, axes)
    options = subset.Options(layout_features=features, hinting=False, notdef_outline=True, glyph_names=False)
    cut = subset.Subsetter(options)
    cut.populate(unicodes=font.getBestCmap().keys())
    cut.subset(font)
    font.save(target)


def ranges(codes: list[int]) -> list[str]:
    """Sorted code points as `first-last` in hexadecimal."""
    runs: list[list[int]] = []
    for code in codes:
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return [f"{first:04X}-{last:04X}" for first, last in runs]


def main(source: Path, target: Path) -> None:
    """Builds the font and the list of the characters that it covers."""
    with tempfile.TemporaryDirectory() as folder:
        parts = []
        for script in SCRIPTS:
            part = Path(folder) / f"{script}.ttf"
            instance(source / f"NotoSans{script}[wght].ttf", ["*"] if script else LATIN_FEATURES, part)
            parts.append(str(part))
        font = Merger().merge(parts)
    font["hhea"].ascent, font["hhea"].descent = ASCENT, DESCENT
    font["OS/2"].sTypoAscender, font["OS/2"].sTypoDescender = ASCENT, DESCENT
    # A fixed date: the same sources make the same bytes.
    font["head"].modified = font["head"].created
    font.recalcTimestamp = False
    font.save(target / "noto-sans-semibold.ttf")
    lines = ranges(sorted(font.getBestCmap()))
    (target / "coverage.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
