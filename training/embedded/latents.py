"""Encode composed shards once: pictures to latents, captions to text features, so that the denoiser's steps
do nothing else.

Writes `latents-000.pt` per shard: {"latents": (N, 12, h, w) bf16, "text": (N, 3, T, 384) bf16}, with
"bands" where the shard has them (`seeds.py`), and `empty.pt` (T, 384), the feature of no caption.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from text_encoder import MAX_TOKENS
from torch import Tensor
from transformers import BertModel, BertTokenizer


class Encoder:
    """The frozen halves: picture encoder and text encoder."""

    def __init__(self, vae: Path, text: Path, device: str) -> None:
        self.device = device
        self.vae = AutoencoderTiny.from_pretrained(vae).eval().to(device, memory_format=torch.channels_last)
        self.tokenizer = BertTokenizer.from_pretrained(text / "tokenizer")
        self.text_encoder = BertModel.from_pretrained(text / "text_encoder").eval().to(device)

    @torch.no_grad()
    def pictures(self, pictures: np.ndarray, batch: int = 16) -> Tensor:
        """(N, H, W, 3) uint8 to latents (N, 12, H/16, W/16)."""
        out = []
        for k in range(0, len(pictures), batch):
            x = torch.from_numpy(pictures[k : k + batch]).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
            with torch.autocast(self.device, torch.bfloat16):
                out.append(self.vae.encoder(x.contiguous(memory_format=torch.channels_last)).bfloat16().cpu())
        return torch.cat(out)

    @torch.no_grad()
    def texts(self, texts: list[str], batch: int = 64) -> Tensor:
        """Captions to features (N, T, 384), padded as the pipeline pads them."""
        out = []
        for k in range(0, len(texts), batch):
            tokens = self.tokenizer(
                texts[k : k + batch],
                padding="max_length",
                max_length=MAX_TOKENS,
                truncation=True,
                return_tensors="pt",
            )
            with torch.autocast(self.device, torch.bfloat16):
                features = self.text_encoder(
                    tokens.input_ids.to(self.device), attention_mask=tokens.attention_mask.to(self.device)
                )[0]
            out.append(features.bfloat16().cpu())
        return torch.cat(out)


def encode_shard(encoder: Encoder, shard: Path, out: Path) -> None:
    """Encode one shard and move the result in place when it is whole."""
    data = np.load(shard)
    captions = data["captions"]
    text = encoder.texts([str(c) for c in captions.reshape(-1)])
    record = {
        "latents": encoder.pictures(data["pictures"]),
        "text": text.reshape(*captions.shape, *text.shape[1:]),
    }
    if "bands" in data:
        record["bands"] = torch.from_numpy(data["bands"])
    file = out / f"latents-{shard.stem.split('-')[1]}.pt"
    torch.save(record, file.with_suffix(".new"))
    file.with_suffix(".new").rename(file)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True, help="folder with tokenizer/ and text_encoder/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--reverse", action="store_true", help="begin with the last shard (a second worker)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    encoder = Encoder(args.vae, args.text, args.device)
    torch.save(encoder.texts([""])[0], args.out / "empty.pt")
    for shard in sorted(args.shards.glob("shard-???.npz"), reverse=args.reverse):
        if not (args.out / f"latents-{shard.stem.split('-')[1]}.pt").exists():
            start = time.time()
            encode_shard(encoder, shard, args.out)
            print(f"{shard.name}: {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
