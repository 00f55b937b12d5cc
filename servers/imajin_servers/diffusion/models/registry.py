"""Which models there are: looked up by name or by style."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imajin_servers.diffusion.models.loading import pipeline_class
from imajin_servers.diffusion.models.speed import misfit
from imajin_servers.diffusion.settings import EMBEDDED, DiffusionSettings, LoraEntry, ModelEntry
from imajin_servers.runtime.errors import ModelNotFound, NotFound

CARD = "imajin.json"
"""File in a model's directory with fields of its entry; what the operator sets wins."""


class Registry:
    """The models in order, the default one first. Raises ValueError on two of one name and on an unknown default."""

    def __init__(self, models: list[ModelEntry], default: str = "", loras: Sequence[LoraEntry] = ()) -> None:
        names = [model.name for model in models]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"models of one name: {', '.join(sorted(twice))}")
        if not models:
            raise ValueError("no models: set [[diffusion.models]] or embedded = true")
        if default and default not in names:
            raise ValueError(f"default_model {default!r} is not among: {', '.join(names)}")
        self.models = sorted(models, key=lambda model: model.name != (default or names[0]))
        known = [lora.name for lora in loras]
        twice = {name for name in known if known.count(name) > 1}
        if twice:
            raise ValueError(f"loras of one name: {', '.join(sorted(twice))}")
        strange = {model for lora in loras for model in lora.models} - set(names)
        if strange:
            raise ValueError(f"loras for models that are not in the registry: {', '.join(sorted(strange))}")
        self.loras = list(loras)

    @property
    def default(self) -> ModelEntry:
        """What is drawn with where neither model nor style is named."""
        return self.models[0]

    def find(self, name: str, style: str) -> ModelEntry:
        """The model `name`, else the first that serves `style`, else the default. Raises ModelNotFound."""
        if name:
            for model in self.models:
                if model.name == name:
                    return model
            raise ModelNotFound.named(name, [model.name for model in self.models])
        if not style:
            return self.default
        for model in self.models:
            if style in model.styles:
                return model
        served = sorted({style for model in self.models for style in model.styles})
        raise ModelNotFound(
            f"no model serves the style {style!r}; there are: {', '.join(served) or 'none'}",
            metadata={"style": style, "known": ", ".join(served)},
        )

    def loras_of(self, model: ModelEntry) -> list[LoraEntry]:
        """The adapters that are for `model`; none where its layers are fused or compiled, which would not hear them."""
        if model.fuse_projections or model.compile_blocks:
            return []
        return [lora for lora in self.loras if not lora.models or model.name in lora.models]

    def lora(self, name: str, model: ModelEntry) -> LoraEntry:
        """The adapter `name` for `model`. Raises NotFound."""
        fits = self.loras_of(model)
        for lora in fits:
            if lora.name == name:
                return lora
        known = ", ".join(lora.name for lora in fits)
        raise NotFound(
            f"no adapter {name!r} for the model {model.name!r}; there are: {known or 'none'}",
            metadata={"name": name, "model": model.name, "known": known},
        )


def from_settings(settings: DiffusionSettings) -> Registry:
    """The registry that the operator asks for. Raises ValueError where it makes no sense."""
    models = [carded(model) for model in settings.models]
    if settings.embedded:
        models.append(embedded())
    for model in models:
        pipeline = pipeline_class(Path(model.source))
        if pipeline is not None and (reason := misfit(model, pipeline)):
            raise ValueError(reason)
    return Registry(models, settings.default_model, settings.loras)


def embedded() -> ModelEntry:
    """The model that ships."""
    entry = ModelEntry(
        name="embedded",
        source=str(EMBEDDED),
        styles=["photorealistic", "anime"],
        description="A small model that ships with imajin and draws on a laptop's CPU.",
        license="Apache-2.0",
        default_steps=20,
        default_guidance_scale=5.0,
        base_sizes=[(256, 256), (320, 192), (192, 320)],
        max_upscale=8.0,
    )
    return entry.model_copy(update=card(EMBEDDED))


def carded(model: ModelEntry) -> ModelEntry:
    """`model` with what its directory says about it, where the operator says nothing."""
    path = Path(model.source)
    said = {key: value for key, value in card(path).items() if key not in model.model_fields_set}
    entry = ModelEntry.model_validate({**model.model_dump(), **said})
    return entry if entry.base_sizes else entry.model_copy(update={"base_sizes": own_size(path)})


def own_size(path: Path) -> list[tuple[int, int]]:
    """The square that the denoiser in `path` was made for, in pixels; empty where its files don't say."""
    try:
        autoencoder = json.loads((path / "vae" / "config.json").read_text())
        denoiser = next(path / name for name in ("unet", "transformer") if (path / name).is_dir())
        sample = json.loads((denoiser / "config.json").read_text())["sample_size"]
        side = int(sample) * 2 ** (len(autoencoder["block_out_channels"]) - 1)
    except (OSError, StopIteration, KeyError, TypeError, ValueError):
        return []
    return [(side, side)]


def card(directory: Path) -> dict[str, Any]:
    """The fields in the card of the model in `directory`; none where there is no card. Raises ValueError on a bad one."""
    path = directory / CARD
    if not path.is_file():
        return {}
    fields = json.loads(path.read_text())
    fields = {
        key: value for key, value in fields.items() if key in ModelEntry.model_fields and key not in ("name", "source")
    }
    return {key: getattr(ModelEntry.model_validate({"name": "card", "source": "", **fields}), key) for key in fields}
