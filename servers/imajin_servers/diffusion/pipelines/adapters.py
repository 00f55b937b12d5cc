"""Adapters (LoRA) beside the weights of a pipeline: loaded once, kept within a bound, heard by those who ask for them.

The layers are those of peft, put in by the pipeline's own `load_lora_weights`: what is drawn with an adapter has the bits
that the plain pipeline gives with it, and what is drawn without has those of a pipeline that never saw one, because a
layer whose adapters are silent is its base layer.
"""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
import torch

from imajin_servers.diffusion.orders import LoraWeight
from imajin_servers.runtime.errors import NotFound

Loras = Sequence[LoraWeight]
log = structlog.get_logger()


class Voices:
    """Which adapters the layers of some modules hear. Belongs to the thread that uses the modules."""

    def __init__(self, modules: Sequence[torch.nn.Module]) -> None:
        self.modules = modules
        self.layers: list[Any] | None = []
        """Those with adapters; None when they have to be looked for again."""
        self.heard: tuple[LoraWeight, ...] = ()

    def hear(self, loras: Loras) -> None:
        """Lets the layers hear `loras`, in this order, and no others. Where nothing changes it costs nothing."""
        if self.layers is None:
            self.layers = layers(self.modules)
            self.set(loras, fresh=True)
        elif tuple(loras) != self.heard:
            self.set(loras)

    def set(self, loras: Loras, *, fresh: bool = False) -> None:
        """Tells every layer; those that are `fresh` have not been told anything yet."""
        names = [lora.name for lora in loras]
        same = names == [lora.name for lora in self.heard] and not fresh
        for layer in self.layers or ():
            if not same:
                layer.set_adapter(names, inference_mode=True)
            for lora in loras:
                layer.set_scale(lora.name, lora.weight)
        self.heard = tuple(loras)


class Adapters:
    """The adapters of one pipeline.

    `load` belongs to the thread of the text encoders, like `encoders`; `denoiser` belongs to that of the denoiser, which
    uses it under `lock`: layers are put in and taken out between two of its steps.
    """

    def __init__(self, pipe: Any, denoiser: torch.nn.Module | None, changed: Callable[[], None]) -> None:
        self.pipe = pipe
        self.changed = changed
        parts = [getattr(pipe, name, None) for name in getattr(pipe, "_lora_loadable_modules", ())]
        found = [part for part in parts if isinstance(part, torch.nn.Module)]
        self.encoders = Voices([part for part in found if part is not denoiser])
        self.denoiser = Voices([part for part in found if part is denoiser])
        self.lock = threading.Lock()
        self.loaded: dict[str, None] = {}
        """Names, the one that was asked for last at the end."""
        self.wanted: Counter[str] = Counter()
        """How many generations under way need each."""

    @contextmanager
    def kept(self, loras: Loras) -> Iterator[None]:
        """Within, none of `loras` is taken out once it is in. In the event loop."""
        names = [lora.name for lora in loras]
        self.wanted.update(names)
        try:
            yield
        finally:
            self.wanted.subtract(names)
            self.wanted += Counter()

    @contextmanager
    def used(self, loras: Loras) -> Iterator[None]:
        """Within, the denoiser hears `loras`. In its thread."""
        with self.lock:
            self.denoiser.hear(loras)
            yield

    def load(self, loras: Loras, files: Mapping[str, Path], limit: int) -> None:
        """Puts `loras` in beside the others, and takes those out that nobody needs, until there are at most `limit`.

        Raises NotFound where a file is no adapter of this model.
        """
        names = [lora.name for lora in loras]
        missing = [name for name in names if name not in self.loaded]
        self.make_room(limit - len(missing), names)
        for name in names:
            if name in missing:
                self.put_in(name, files[name])
            else:
                self.loaded[name] = self.loaded.pop(name)

    def make_room(self, limit: int, spare: Sequence[str] = ()) -> None:
        """Takes adapters out, longest unused first, as long as there are more than `limit`; those in use and `spare` stay."""
        idle = [name for name in self.loaded if not self.wanted[name] and name not in spare]
        surplus = max(0, len(self.loaded) - max(0, limit))
        for name in idle[:surplus]:
            with self.lock:
                # peft would let another one be heard in place of one that goes while it is heard.
                self.encoders.hear([])
                self.denoiser.hear([])
                self.pipe.delete_adapters([name])
                self.refresh()
            del self.loaded[name]
            log.info("adapter taken out", adapter=name)

    def put_in(self, name: str, file: Path) -> None:
        """Puts one adapter in. What can't be put in leaves nothing behind."""
        # Several adapters are what is meant here.
        warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)
        with self.lock:
            try:
                self.pipe.load_lora_weights(
                    str(file.parent),
                    weight_name=file.name,
                    adapter_name=name,
                    use_safetensors=True,
                    local_files_only=True,
                )
                if not any(name in names for names in self.pipe.get_list_adapters().values()):
                    raise ValueError("no layer of the model is in it")
                for voices in (self.encoders, self.denoiser):
                    for module in voices.modules:
                        module.eval().requires_grad_(False)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                # The text alone: a traceback's locals are all the tensors of the file.
                log.error("adapter can't be loaded", adapter=name, file=str(file), error=repr(error)[:1000])
                self.pipe.delete_adapters([name])
                raise NotFound(
                    f"the adapter {name!r} can't be loaded beside the model", metadata={"name": name}
                ) from error
            finally:
                self.refresh()
        self.loaded[name] = None
        log.info("adapter loaded", adapter=name)

    def refresh(self) -> None:
        """The layers are others now."""
        self.encoders.layers = None
        self.denoiser.layers = None
        self.changed()


def layers(modules: Sequence[torch.nn.Module]) -> list[Any]:
    """The layers of `modules` that have adapters."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [layer for module in modules for layer in module.modules() if isinstance(layer, BaseTunerLayer)]
