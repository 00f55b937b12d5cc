"""An invisible mark in pixels that says that a model made them, and which of its pictures they are.

A tile of sinusoids whose phases hold a payload is repeated over the picture (spread spectrum: Cox, Kilian, Leighton and
Shamoon 1997), in a period that follows the picture's size. A known part of the sinusoids is how a detector finds period and
offset after crops and resizes (a template in the Fourier domain: Pereira and Pun 2000; tiles: Kutter 1998). What the picture
itself puts onto the sinusoids is partly taken away beforehand (improved spread spectrum: Malvar and Florencio 2003).
docs/decisions/credentials.md has the measurements. Needs NumPy and Pillow; knows nothing of gRPC or files.
"""

from imajin_servers.runtime.marking.carriers import Place
from imajin_servers.runtime.marking.detect import Found, detect
from imajin_servers.runtime.marking.embed import SMALLEST_SIDE, embed, holds_mark, lasts, place_in

__all__ = ["SMALLEST_SIDE", "Found", "Place", "detect", "embed", "holds_mark", "lasts", "place_in"]
