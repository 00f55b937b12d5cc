"""The judge: a small classifier trained on real pictures of the data set in all styles but one. It never sees a generated picture."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import compose
import numpy as np
import scenes
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

SIDE = 80
"""What the judge looks at, pixels."""
HELD_OUT = "gradient"
"""The style that it isn't trained on."""
Picture = np.ndarray
"""(H, W, 3) uint8"""


class Block(nn.Module):
    """Two normalised convolutions with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = (
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )
        self.na, self.nb = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return functional.relu(x + self.nb(self.b(functional.relu(self.na(self.a(x))))))


class Judge(nn.Module):
    """Classifier of (B, 3, 80, 80) pictures in -1..1."""

    def __init__(self, classes: int, widths: tuple[int, ...] = (32, 64, 128, 256)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in widths:
            layers += [
                nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                Block(width),
            ]
            before = width
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes)."""
        return self.head(self.body(x))


def to_tensor(pictures: list[Picture]) -> Tensor:
    """Pictures of any size to (B, 3, 80, 80) in -1..1, padded to squares with their edge colours."""
    out = []
    for p in pictures:
        h, w = p.shape[:2]
        if h != w:
            m = max(h, w)
            p = np.pad(
                p,
                (((m - h) // 2, m - h - (m - h) // 2), ((m - w) // 2, m - w - (m - w) // 2), (0, 0)),
                mode="edge",
            )
        out.append(np.asarray(Image.fromarray(p).resize((SIDE, SIDE), Image.Resampling.BOX)))
    return torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float() / 127.5 - 1


def sprite_bank(composer: compose.Composer, styles: Callable[[str], bool]) -> tuple[Tensor, Tensor]:
    """Premultiplied sprites (N, 4, 96, 96) in 0..1 of the chosen styles, and their classes."""
    number = {name: i for i, name in enumerate(composer.names)}
    rows = [i for i, r in enumerate(composer.records) if styles(r["style"]) and r["concept"] in number]
    small = [
        np.asarray(Image.fromarray(composer.sprites[i]).convert("RGBa").resize((96, 96), Image.Resampling.BOX))
        for i in rows
    ]
    labels = torch.tensor([number[composer.records[i]["concept"]] for i in rows])
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 255, labels


def backgrounds(count: int, seed: int) -> Tensor:
    """Random backgrounds (count, 3, 80, 80) in 0..1."""
    rng, out = random.Random(seed), []
    for _ in range(count):
        if rng.random() < 0.35:
            scene = rng.choice(list(scenes.SCENES.values()))
            out.append(scenes.render(scene(rng, SIDE, SIDE, rng.choice(list(scenes.SKIES))), SIDE, SIDE))
        else:
            out.append(scenes.plain(rng, SIDE, SIDE, rng.choice([*scenes.COLOURS, None, None, None, None])))
    return torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float() / 255


def place(sprites: Tensor, back: Tensor, low: float = 0.36, high: float = 0.98) -> Tensor:
    """Put sprites on backgrounds at random sizes and spots, some mirrored. (B, 3, 80, 80) in -1..1."""
    n = len(sprites)
    scale = torch.empty(n).uniform_(low, high)
    room = 1 - scale
    theta = torch.zeros(n, 2, 3)
    turn = torch.empty(n).uniform_(-0.15, 0.15)
    flip = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    theta[:, 0, 0], theta[:, 0, 1] = flip * turn.cos() / scale, -turn.sin() / scale
    theta[:, 1, 0], theta[:, 1, 1] = flip * turn.sin() / scale, turn.cos() / scale
    dx, dy = torch.empty(n).uniform_(-1, 1) * room, torch.empty(n).uniform_(-1, 1) * room
    theta[:, 0, 2] = -(theta[:, 0, 0] * dx + theta[:, 0, 1] * dy)
    theta[:, 1, 2] = -(theta[:, 1, 0] * dx + theta[:, 1, 1] * dy)
    moved = functional.grid_sample(
        sprites, functional.affine_grid(theta, [n, 4, SIDE, SIDE], align_corners=False), align_corners=False
    )
    return (moved[:, :3] + back * (1 - moved[:, 3:])) * 2 - 1


def train_judge(composer: compose.Composer, minutes: float, seed: int = 0) -> Judge:
    """Train on every style but the held-out one."""
    torch.manual_seed(seed)
    bank, labels = sprite_bank(composer, lambda style: style != HELD_OUT)
    back = backgrounds(700, seed)
    judge = Judge(len(composer.names)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=0.05)
    start, step = time.time(), 0
    while (done := (time.time() - start) / (minutes * 60)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1, (step + 1) / 50) * max(0.01, 1 - done)
        rows = torch.randint(0, len(bank), (64,))
        x = place(bank[rows], back[torch.randint(0, len(back), (64,))])
        x = x * torch.empty(64, 1, 1, 1).uniform_(0.85, 1.1) + 0.04 * torch.randn_like(x) * (
            torch.rand(64, 1, 1, 1) < 0.5
        )
        if step % 3 == 0:  # generated pictures are softer than real ones
            x = functional.interpolate(
                functional.interpolate(x, scale_factor=0.6, mode="bilinear"),
                size=(SIDE, SIDE),
                mode="bilinear",
            )
        with torch.autocast("cpu", torch.bfloat16):
            logits = judge(x.contiguous(memory_format=torch.channels_last))
        loss = functional.cross_entropy(logits.float(), labels[rows], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 200 == 0:
            print(f"judge: step {step}, loss {loss.item():.3f}, {100 * done:.0f}%", flush=True)
    return judge.eval()
