"""Train the denoiser: a `UNet2DConditionModel` on cached latents, v-prediction with zero terminal SNR, 10%
of the captions dropped.

Keeps an exponential mean of the weights (that is what ships) and a checkpoint to go on from. New latent
files are picked up while it runs.
"""

from __future__ import annotations

import argparse
import copy
import random
import signal as signals
import time
from pathlib import Path

import seeds
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from local_sgd import Peers
from muon import Muon
from seeds import CHOICES, FREE
from torch import Tensor
from torch.nn import functional

WIDTHS = (128, 192, 208)
DROP_CAPTION = 0.1
EARLY, EARLY_SHARE = 960, 0.3
"""This share of every batch has timesteps from here on, half of them the last, which is noise alone: there the choices are made."""
READING = 0.3
"""Weight of the loss of reading the components of the noise from the innermost features: without it, the denoiser learns late that there is
something to read. The features vary 20 times as much as what is read from them; unless they are normalised, nothing is learned."""
CHOSEN_BY = 500
"""Timestep from which on the picture itself shows what was chosen: there, noise of any kind goes with it, as in edits."""


def scheduler() -> DDIMScheduler:
    """The noise schedule, as trained and as shipped."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


def create(widths: tuple[int, ...], channels: int, text_width: int) -> UNet2DConditionModel:
    """The untrained denoiser: three levels, 16, 8 and 4 latent pixels across for a square."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=text_width,
        attention_head_dim=4,
        norm_num_groups=16,
        use_linear_projection=True,
    )


class Reader(torch.nn.Module):
    """Reads the components of the noise from the innermost features `(n, C, h, w)`. Used in training alone."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        width = unet.config["block_out_channels"][-1]
        self.norm = torch.nn.BatchNorm1d(width, momentum=0.02)
        self.out = torch.nn.Linear(width, len(CHOICES))
        self.seen = torch.empty(0)
        unet.mid_block.register_forward_hook(self.see)

    def see(self, module: torch.nn.Module, given: object, made: Tensor) -> None:
        """Remember the features of the pass."""
        self.seen = made

    def forward(self, rows: Tensor) -> Tensor:
        """`(n, choices)`"""
        return self.out(self.norm(self.seen[rows].float().mean((2, 3))))


class Latents:
    """Cached latents by shape; batches never mix aspects."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder, self.device = folder, device
        self.seen: set[str] = set()
        self.groups: dict[tuple[int, ...], list[dict[str, Tensor]]] = {}
        self.empty: Tensor = torch.load(folder / "empty.pt").to(device)
        self.free = torch.tensor([FREE] * len(CHOICES), device=device)
        self.reload()

    def reload(self) -> None:
        """Pick up files that have appeared."""
        for file in sorted(self.folder.glob("latents-*.pt")):
            if file.name not in self.seen:
                self.seen.add(file.name)
                record = {k: v.to(self.device) for k, v in torch.load(file, mmap=self.device == "cpu").items()}
                self.groups.setdefault(tuple(record["latents"].shape[1:]), []).append(record)

    def __len__(self) -> int:
        return sum(len(r["latents"]) for group in self.groups.values() for r in group)

    def batch(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (n, C, h, w), text features (n, T, D) and bands of the noise (n, choices, 2) of one aspect."""
        shapes = list(self.groups)
        group = self.groups[random.choices(shapes, [len(self.groups[s]) for s in shapes])[0]]
        latents, text, bands = [], [], []
        for record in random.choices(group, k=min(8, n)):
            rows = torch.randint(0, len(record["latents"]), (-(-n // min(8, n)),), device=self.device)
            says = torch.randint(0, record["text"].shape[1], rows.shape, device=self.device)
            latents.append(record["latents"][rows])
            text.append(record["text"][rows, says])
            bands.append(record["bands"][rows, says] if "bands" in record else self.free.expand(len(rows), -1, -1))
        features = torch.cat(text)[:n]
        dropped = torch.rand(n, device=self.device) < DROP_CAPTION
        said = torch.where(dropped[:, None, None], self.empty, features)
        return torch.cat(latents)[:n].float(), said, torch.cat(bands)[:n]


def create_optimizers(model: torch.nn.Module, lr: float, muon: float) -> list[torch.optim.Optimizer]:
    """Adam at `lr`; with `muon` above zero, Muon at that rate for the inner matrices and kernels."""
    inner = [
        p
        for n, p in model.named_parameters()
        if muon and p.ndim >= 2 and not n.startswith(("conv_in", "conv_out", "time_embedding"))
    ]
    chosen = {id(p) for p in inner}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    adam = torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=1e-2, fused=True)
    return [adam, Muon(inner, muon)] if inner else [adam]


def train(args: argparse.Namespace) -> None:
    """Train until `args.steps` steps are made, of all workers together. Every worker goes on from the state that the first one saves, also when it
    is ended.
    """
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)  # workers average their weights: they must begin with the same
    data = Latents(args.latents, args.device)
    peers = Peers(args.peers, args.seed) if args.peers else None
    unet = create(tuple(args.widths), next(iter(data.groups))[0], data.empty.shape[-1])
    if args.device == "cpu":
        unet.set_attn_processor(AttnProcessor())  # the fused attention's backward pass is slow at these sizes on CPU
    unet = unet.to(args.device, memory_format=torch.channels_last)
    mean = copy.deepcopy(unet).eval().requires_grad_(False)
    reader = Reader(unet).to(args.device)
    optimizers = create_optimizers(unet, args.lr, args.muon)
    reading = torch.optim.AdamW(reader.parameters(), lr=2e-3)
    peaks = [group["lr"] for o in optimizers for group in o.param_groups]
    step, others, spent = 0, 0, 0.0
    state_file = args.out / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, map_location=args.device)
        unet.load_state_dict(state["unet"])
        mean.load_state_dict(state["mean"])
        for optimizer, saved_state in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved_state)
        reader.load_state_dict(state["reader"])
        reading.load_state_dict(state["reading"])
        step, others, spent = state["step"], state["others"], state["spent"]
    if peers:
        peers.join(unet)
    torch.manual_seed(args.seed + step)
    random.seed(args.seed + step)
    forward = torch.compile(unet, dynamic=False) if args.compile else unet  # dynamic shapes take ten minutes to compile
    alphas = scheduler().alphas_cumprod.to(args.device)
    start = saved = time.time()
    print(
        f"{sum(p.numel() for p in unet.parameters()) / 1e6:.1f} M parameters, {len(data)} pictures, step {step} and {others} by others of {args.steps}",
        flush=True,
    )
    began_at, running, unread = step, 1.0, 1.0

    def made() -> int:
        return step + others + (peers.made if peers else 0)

    def save() -> None:
        if args.seed:
            return
        args.out.mkdir(parents=True, exist_ok=True)
        torch.save(
            {
                "unet": unet.state_dict(),
                "mean": mean.state_dict(),
                "optimizers": [o.state_dict() for o in optimizers],
                "reader": reader.state_dict(),
                "reading": reading.state_dict(),
                "step": step,
                "others": made() - step,
                "spent": spent + time.time() - start,
            },
            state_file.with_suffix(".new"),
        )
        state_file.with_suffix(".new").rename(state_file)
        mean.save_pretrained(args.out / "mean")

    stop: list[int] = []
    signals.signal(signals.SIGTERM, lambda number, frame: stop.append(number))  # saves and ends
    while not stop and made() < args.steps:
        done = (made() - args.since) / (args.steps - args.since)
        part = min(1, (step + 1) / 100) * (
            1 if done < args.decay_from else max(0.02, (1 - done) / (1 - args.decay_from))
        )
        for peak, group in zip(peaks, (g for o in optimizers for g in o.param_groups), strict=True):
            group["lr"] = peak * part
        latents, text, bands = data.batch(args.batch)
        t = torch.randint(0, 1000, (args.batch,), device=args.device)
        early = torch.rand(args.batch, device=args.device) < EARLY_SHARE
        t = torch.where(early, (EARLY + t * (1000 - EARLY) // 500).clamp(max=999), t)
        signal, noise_level = (
            alphas[t].sqrt()[:, None, None, None],
            (1 - alphas[t]).sqrt()[:, None, None, None],
        )
        noise = seeds.noise(latents, torch.where((t < CHOSEN_BY)[:, None, None], data.free, bands))
        with torch.autocast(args.device, torch.bfloat16):
            predicted = forward(signal * latents + noise_level * noise, t, text, return_dict=False)[0]
        loss = functional.mse_loss(predicted.float(), signal * noise - noise_level * latents)
        components = torch.einsum("nchw,kchw->nk", noise, seeds.directions(*noise.shape[1:]).to(noise.device))
        missed = (
            functional.mse_loss(reader(t >= EARLY), components[t >= EARLY]) if int((t >= EARLY).sum()) > 1 else 0 * loss
        )
        unet.zero_grad()
        reading.zero_grad()
        (loss + READING * missed).backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        for optimizer in (*optimizers, reading):
            optimizer.step()
        step += 1
        if peers and step % args.meet_every == 0:
            peers.meet(unet, step - began_at)
        keep = min(args.ema, (1 + step) / (20 + step))
        torch._foreach_lerp_(list(mean.parameters()), list(unet.parameters()), 1 - keep)
        running = 0.99 * running + 0.01 * float(loss.detach())
        unread = 0.97 * unread + 0.03 * float(missed.detach())
        if step % 100 == 0:
            elapsed = time.time() - start
            rate = (step - began_at) * args.batch / elapsed
            print(
                f"{step} of {made()} {spent + elapsed:.0f}s loss {running:.4f} unread {unread:.2f} {rate:.1f} pictures/s, {len(data)} cached",
                flush=True,
            )
            data.reload()
        if time.time() - saved > args.save_minutes * 60:
            save()
            saved = time.time()
    save()
    print(f"done: {step} steps of {args.batch}", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True, help="of all workers, counted from the very start")
    parser.add_argument("--since", type=int, default=0, help="step at which this stage began")
    parser.add_argument("--save-minutes", type=float, default=5)
    parser.add_argument("--widths", type=int, nargs=3, default=WIDTHS)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=8e-4)
    parser.add_argument("--muon", type=float, default=0, help="Muon's rate for inner weights (0: Adam for all)")
    parser.add_argument(
        "--decay-from", type=float, default=0.5, help="part of the stage after which the rate falls linearly"
    )
    parser.add_argument("--ema", type=float, default=0.999)
    parser.add_argument("--peers", type=Path, help="folder in which workers with different seeds average their weights")
    parser.add_argument("--meet-every", type=int, default=25, help="steps between two averages")
    parser.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile: 1.2 times the speed on a core, after a minute for each aspect",
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of a worker; the one with 0 saves for all")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
