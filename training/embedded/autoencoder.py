"""Train the autoencoder: `AutoencoderTiny`, 256 x 256 x 3 pixels to 16 x 16 x 12 latents and back.

First encoder and decoder together; then, while the denoiser already trains on the frozen encoder's latents,
`--decoder-only` goes on sharpening the decoder. The loss is L1 + MSE + the L1 of the pixel gradients (edges
are what the eye sees in drawn pictures). Latents are pulled to zero mean and unit deviation and get a
little noise, so that the decoder forgives the denoiser's small errors.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from muon import Muon
from PIL import Image
from torch import Tensor
from torch.nn import functional

LATENT_CHANNELS = 12
WIDTH = 48


def create(width: int = WIDTH) -> AutoencoderTiny:
    """The untrained autoencoder: four halvings, so one latent pixel is 16 x 16 pixels."""
    return AutoencoderTiny(
        encoder_block_out_channels=(width,) * 5,
        decoder_block_out_channels=(width,) * 5,
        num_encoder_blocks=(0, 0, 1, 2, 3),
        num_decoder_blocks=(4, 3, 2, 0, 0),
        latent_channels=LATENT_CHANNELS,
        scaling_factor=1.0,
    )


class Crops:
    """Random square crops of the composed pictures, (B, 3, S, S) in -1..1."""

    def __init__(self, shards: Path, size: int, keep: int = 8) -> None:
        self.shards, self.size, self.keep = shards, size, keep
        self.pictures: list[np.ndarray] = []
        self.reload()

    def reload(self) -> None:
        """Read a random few of the shards that exist by now."""
        files = [f for f in sorted(self.shards.glob("shard-*.npz")) if ".tmp" not in f.name]
        self.pictures = [np.load(f)["pictures"] for f in random.sample(files, min(self.keep, len(files)))]

    def batch(self, n: int) -> Tensor:
        """`n` crops."""
        out = []
        for _ in range(n):
            pictures = random.choice(self.pictures)
            p = pictures[random.randrange(len(pictures))]
            y, x = random.randint(0, p.shape[0] - self.size), random.randint(0, p.shape[1] - self.size)
            out.append(p[y : y + self.size, x : x + self.size])
        return torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float() / 127.5 - 1


def edges(x: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels, down and across."""
    return x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]


def losses(y: Tensor, x: Tensor) -> Tensor:
    """Reconstruction loss of `y` against `x`, both (B, 3, H, W) in -1..1."""
    (gx, gy), (hx, hy) = edges(x), edges(y)
    return (
        functional.l1_loss(y, x)
        + 0.5 * functional.mse_loss(y, x)
        + 0.5 * (functional.l1_loss(hx, gx) + functional.l1_loss(hy, gy))
    )


def psnr(y: Tensor, x: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each picture (values span 2)."""
    return 10 * torch.log10(4 / (y.clamp(-1, 1) - x).pow(2).mean((1, 2, 3)).clamp_min(1e-8))


def sheet(vae: AutoencoderTiny, x: Tensor, file: Path) -> float:
    """Save originals over reconstructions; return the mean PSNR in dB."""
    with torch.no_grad():
        y = vae.decoder(vae.encoder(x)).clamp(-1, 1)
    rows = torch.cat([torch.cat(list(x), 2), torch.cat(list(y), 2)], 1).cpu()
    Image.fromarray(((rows.permute(1, 2, 0) + 1) * 127.5).byte().numpy()).save(file)
    return float(psnr(y, x).mean())


def save(vae: AutoencoderTiny, optimizers: list[torch.optim.Optimizer], step: int, out: Path) -> None:
    """Write the checkpoint beside and move it in place, so that a reader never sees half a file."""
    new = out.with_name(out.name + ".new")
    vae.save_pretrained(new)
    out.mkdir(parents=True, exist_ok=True)
    for part in new.iterdir():
        part.replace(out / part.name)
    state = {"vae": vae.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "step": step}
    torch.save(state, out / "state.new")
    (out / "state.new").replace(out / "state.pt")


def create_optimizers(model: torch.nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Muon at `lr` for the kernels between wide layers; Adam at a twentieth of it for the ends and the
    biases.
    """
    kernels = [p for p in model.parameters() if p.ndim == 4 and p.shape[0] >= WIDTH and p.shape[1] >= WIDTH]
    chosen = {id(p) for p in kernels}
    rest = [p for p in model.parameters() if id(p) not in chosen and p.requires_grad]
    return [
        Muon([p for p in kernels if p.requires_grad], lr),
        torch.optim.AdamW(rest, lr / 20, betas=(0.9, 0.99)),
    ]


def train(args: argparse.Namespace) -> None:
    """Train for `args.steps` steps, saving every `args.save_minutes`; a broken-off run goes on from there."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    vae = AutoencoderTiny.from_pretrained(args.init) if args.init else create()
    vae = vae.float().to(args.device, memory_format=torch.channels_last)
    trained = vae.decoder if args.decoder_only else vae
    vae.encoder.requires_grad_(not args.decoder_only)
    optimizers = create_optimizers(trained, args.lr)
    peaks = [group["lr"] for o in optimizers for group in o.param_groups]
    crops = Crops(args.shards, args.crop)
    began_at = step = 0
    state_file = args.out / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, map_location=args.device)
        vae.load_state_dict(state["vae"])
        for optimizer, saved_state in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved_state)
        began_at = step = state["step"]
    start = saved = time.time()
    mean = 0.0
    while step < args.steps:
        done = step / args.steps
        for peak, group in zip(peaks, (g for o in optimizers for g in o.param_groups), strict=True):
            group["lr"] = peak * min(1, (step + 1) / 50) * max(0.05, 1 - done)
        x = crops.batch(args.batch).to(args.device, memory_format=torch.channels_last)
        frozen = torch.no_grad() if args.decoder_only else contextlib.nullcontext()
        with torch.autocast(args.device, torch.bfloat16):
            with frozen:
                z = vae.encoder(x).float()
            y = vae.decoder(z + args.noise * torch.randn_like(z)).float()
        loss = losses(y, x)
        if not args.decoder_only:
            loss = loss + 0.1 * (z.mean((0, 2, 3)).pow(2).mean() + (z.std((0, 2, 3)) - 1).pow(2).mean())
        trained.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        step += 1
        now = float(psnr(y.detach(), x).mean())
        mean = now if step == began_at + 1 else 0.99 * mean + 0.01 * now
        if step % 200 == 0:
            elapsed = time.time() - start
            print(
                f"{step} {elapsed:.0f}s psnr {mean:.2f} dB  {(step - began_at) * args.batch * args.crop**2 / 65536 / elapsed:.1f} pictures/s",
                flush=True,
            )
        if step % 1000 == 0:
            crops.reload()
        if time.time() - saved > args.save_minutes * 60:
            save(vae, optimizers, step, args.out)
            saved = time.time()
    save(vae, optimizers, step, args.out)
    squares = [p[:8] for p in crops.pictures if p.shape[1:3] == (256, 256)] or [
        p[:8, :192, :192] for p in crops.pictures
    ]
    fixed = torch.from_numpy(squares[0]).permute(0, 3, 1, 2).float().to(args.device) / 127.5 - 1
    print(
        f"done: {step} steps, {sheet(vae, fixed, args.out / 'reconstructions.png'):.2f} dB on eight pictures",
        flush=True,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--init", default="", help="checkpoint to go on from")
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--save-minutes", type=float, default=2)
    parser.add_argument("--batch", type=int, default=5)
    parser.add_argument("--crop", type=int, default=128, help="pixels, a multiple of 16")
    parser.add_argument("--lr", type=float, default=0.008)
    parser.add_argument("--noise", type=float, default=0.05, help="deviation of the noise on the latents")
    parser.add_argument("--decoder-only", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
