"""The focal point of an image: faces, else what stands apart or is salient, else the centre."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image

from imajin_servers.processing.crop import Box
from imajin_servers.processing.focal.point import Face, FaceFinder, Focus
from imajin_servers.processing.focal.saliency import salient_region
from imajin_servers.processing.focal.subject import eye_of, whole_subject

ONE_SUBJECT = 0.5
"""Faces are one subject as long as their group takes at most this part of the image's width and height."""


def locate(image: Image.Image, finder: FaceFinder) -> Focus:
    """Finds the focal point of an RGB or RGBA image."""
    seen = opaque(image)
    faces = ranked(finder.find(seen), seen.size)
    subject = whole_subject(seen)
    if faces:
        x, y = group_center(faces, seen.size)
        boxes = tuple(face.box for face in faces)
        return Focus(x / image.width, y / image.height, "face", faces[0].score, boxes, subject.boxes if subject else ())
    if subject:
        x, y = eye_of(subject.boxes[0], finder.suspect(seen))
        return Focus(x / image.width, y / image.height, "saliency", subject.clear, subject.boxes, subject.boxes)
    return salient_region(seen) or Focus(0.5, 0.5, "center", 0.0)


def given(image: Image.Image, finder: FaceFinder, x: float, y: float) -> Focus:
    """The focal point that a caller gave, as fractions; faces are still looked for, so that a crop doesn't cut them."""
    seen = opaque(image)
    faces = ranked(finder.find(seen), seen.size)
    return Focus(x, y, "given", 1.0, tuple(face.box for face in faces))


def opaque(image: Image.Image) -> Image.Image:
    """RGB: what is transparent becomes middle grey, so that hidden colours don't draw the eye."""
    if image.mode == "RGB":
        return image
    ground = Image.new("RGB", image.size, (128, 128, 128))
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def ranked(faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
    """The faces, most important first."""
    return sorted(faces, key=lambda face: -weight(face, size))


def weight(face: Face, size: tuple[int, int]) -> float:
    """How important a face is: its area, up to a half less towards the corners, times how sure it is."""
    x, y = face.box.center
    off = math.hypot(x / size[0] - 0.5, y / size[1] - 0.5) / math.hypot(0.5, 0.5)
    return face.box.width * face.box.height * (1 - 0.5 * off) * face.score


def group_center(faces: Sequence[Face], size: tuple[int, int]) -> tuple[float, float]:
    """The weighted centre, in pixels, of the most important face and of those that are one subject with it.

    The middle of a group that spans the image is often a gap between two people: far faces don't pull.
    """
    group = [faces[0]]
    left, top, right, bottom = edges(faces[0].box)
    for face in faces[1:]:
        wider = (
            min(left, face.box.left),
            min(top, face.box.top),
            max(right, face.box.right),
            max(bottom, face.box.bottom),
        )
        if wider[2] - wider[0] <= ONE_SUBJECT * size[0] and wider[3] - wider[1] <= ONE_SUBJECT * size[1]:
            group.append(face)
            left, top, right, bottom = wider
    weights = [weight(face, size) for face in group]
    x = sum(part * face.box.center[0] for part, face in zip(weights, group, strict=True)) / sum(weights)
    y = sum(part * face.box.center[1] for part, face in zip(weights, group, strict=True)) / sum(weights)
    return x, y


def edges(box: Box) -> tuple[float, float, float, float]:
    """Left, top, right and bottom."""
    return box.left, box.top, box.right, box.bottom
