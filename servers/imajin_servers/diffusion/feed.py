"""What a caller hears of a generation: bounded, latest wins, and nobody who makes events ever waits for one who reads them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from imajin.common.v1 import image_pb2, progress_pb2
from imajin.diffusion.v1 import diffusion_pb2

# Where each phase begins and how much of the whole it is.
SHARES = {
    "queued": (0.0, 0.0),
    "waiting_for_vram": (0.0, 0.0),
    "loading_model": (0.0, 0.1),
    "encoding_prompt": (0.1, 0.0),
    "denoising": (0.12, 0.78),
    "decoding": (0.9, 0.0),
    "finishing": (0.95, 0.0),
}


class Feed:
    """Events of one generation, in the event loop that it lives in. A newer event of a phase replaces one that wasn't read."""

    def __init__(self) -> None:
        self.pending: deque[diffusion_pb2.GenerateResponse] = deque()
        self.stirred = asyncio.Event()
        self.fraction = 0.0
        self.first_step: tuple[int, float] | None = None

    def queued(self, position: int) -> None:
        """In line behind others."""
        self.tell(progress_pb2.Progress(queued=progress_pb2.Queued(position=position)))

    def waiting_for_vram(self, position: int, requested: int, available: int) -> None:
        """In line for room on the card, in bytes."""
        waiting = progress_pb2.WaitingForVram(position=position, requested_bytes=requested, available_bytes=available)
        self.tell(progress_pb2.Progress(waiting_for_vram=waiting))

    def loading(self, model: str, loaded: int, total: int) -> None:
        """The model is read, in bytes."""
        loading = progress_pb2.LoadingModel(model=model, loaded_bytes=loaded, total_bytes=total)
        self.tell(progress_pb2.Progress(loading_model=loading), loaded / total if total else 0.0)

    def encoding(self) -> None:
        """The prompt goes through the text encoder."""
        self.tell(progress_pb2.Progress(encoding_prompt=progress_pb2.EncodingPrompt()))

    def denoising(self, step: int, steps: int) -> None:
        """`step` of `steps` are done."""
        message = progress_pb2.Progress(denoising=progress_pb2.Denoising(step=step, total_steps=steps))
        now = time.monotonic()
        if self.first_step is None:
            self.first_step = step, now
        done, began = step - self.first_step[0], now - self.first_step[1]
        if done > 0:
            message.eta.FromMicroseconds(round((steps - step) * began / done * 1e6))
        self.tell(message, step / steps)

    def decoding(self) -> None:
        """Latents become pixels."""
        self.tell(progress_pb2.Progress(decoding=progress_pb2.Decoding()))

    def finishing(self, operation: str) -> None:
        """One of the operations after drawing."""
        self.tell(progress_pb2.Progress(finishing=progress_pb2.Finishing(operation=operation)))

    def preview(self, jpeg: bytes, width: int, height: int, step: int) -> None:
        """A small picture of the work after `step`."""
        info = image_pb2.ImageInfo(format=image_pb2.IMAGE_FORMAT_JPEG, width=width, height=height, size_bytes=len(jpeg))
        preview = image_pb2.Preview(image_data=jpeg, info=info, step=step)
        self.put(diffusion_pb2.GenerateResponse(preview=preview))

    def tell(self, progress: progress_pb2.Progress, part: float = 0.0) -> None:
        """Adds progress, `part` of its phase being done; the fraction of the whole never goes back."""
        begin, share = SHARES[str(progress.WhichOneof("phase"))]
        self.fraction = max(self.fraction, begin + share * min(part, 1.0))
        progress.fraction = self.fraction
        self.put(diffusion_pb2.GenerateResponse(progress=progress))

    def put(self, event: diffusion_pb2.GenerateResponse) -> None:
        """Adds an event, in place of the one of its sort that waits."""
        for at, waiting in enumerate(self.pending):
            if sort(waiting) == sort(event):
                del self.pending[at]
                break
        self.pending.append(event)
        self.stirred.set()

    async def until(self, work: asyncio.Future[Any]) -> AsyncIterator[diffusion_pb2.GenerateResponse]:
        """Events as they come, until `work` is done and none is left."""
        work.add_done_callback(lambda _: self.stirred.set())
        while True:
            while self.pending:
                yield self.pending.popleft()
            if work.done():
                return
            await self.stirred.wait()
            self.stirred.clear()


def sort(event: diffusion_pb2.GenerateResponse) -> str:
    """What an event is about: the name of its phase, or `preview`."""
    return event.progress.WhichOneof("phase") or "preview"
