"""Put the trained parts together as a Stable Diffusion pipeline directory in float16, with the vocabulary
beside it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import captions
import concepts
import dataset
import plain
import scenes
import torch
from denoiser import scheduler
from diffusers import AutoencoderTiny, StableDiffusionPipeline, UNet2DConditionModel
from transformers import BertModel, BertTokenizer


def vocabulary(packages: Path) -> dict[str, object]:
    """What the model was taught, for prompt writers and documentation."""
    known = [c for c in concepts.load(dataset.emojibase(packages)) if c.name in plain.names()]
    groups: dict[str, list[str]] = {}
    for c in known:
        groups.setdefault(c.group, []).append(c.name)
    return {
        "concepts": groups,
        "synonyms": {c.name: list(c.synonyms) for c in known},
        "colours": list(scenes.COLOURS),
        "scenes": {name: list(phrases) for name, phrases in scenes.PHRASES.items()},
        "times": {name: [p for p in phrases if p] for name, phrases in scenes.TIME_PHRASES.items()},
        "styles": {name: list(phrases) for name, phrases in captions.STYLE_PHRASES.items()},
        "default_style": "3d",
        "aspects": {"square": [256, 256], "landscape": [320, 192], "portrait": [192, 320]},
    }


def export(vae: Path, text: Path, unet: Path, out: Path) -> None:
    """Write the pipeline; the directory then loads with plain `DiffusionPipeline.from_pretrained`."""
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderTiny.from_pretrained(vae, torch_dtype=torch.float16),
        text_encoder=BertModel.from_pretrained(text / "text_encoder", dtype=torch.float16),
        tokenizer=BertTokenizer.from_pretrained(text / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(unet, torch_dtype=torch.float16),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(out)
    for part in ("unet", "vae"):  # where they lay on this machine is nobody's business
        file = out / part / "config.json"
        config = json.loads(file.read_text())
        config.pop("_name_or_path", None)
        file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for file in out.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--unet", type=Path, help="without it only the vocabulary is written")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "vocabulary.json").write_text(
        json.dumps(vocabulary(args.packages), indent=1, ensure_ascii=False) + "\n"
    )
    if args.unet:
        export(args.vae, args.text, args.unet, args.out)


if __name__ == "__main__":
    main()
