"""How far a flow of several parts has come, as one fraction."""

from __future__ import annotations

from imajin.common.v1 import progress_pb2


class Course:
    """The fraction of a whole flow. It never goes back, whatever the parts say."""

    def __init__(self) -> None:
        self.reached = 0.0

    def part(
        self, progress: progress_pb2.Progress, start: float, end: float, base: int = 0, bases: int = 0
    ) -> progress_pb2.Progress:
        """`progress` of the part of the whole from `start` to `end`, as progress of the whole."""
        inside = min(max(progress.fraction, 0.0), 1.0)
        self.reached = max(self.reached, start + (end - start) * inside)
        told = progress_pb2.Progress()
        told.CopyFrom(progress)
        # Sums of what was rounded to 32 bits read as 0.107999995; nobody needs more than four digits.
        told.fraction = round(self.reached, 4)
        told.base, told.bases = base, bases
        if end < 1:
            # The estimate is of this part alone.
            told.ClearField("eta")
        return told
