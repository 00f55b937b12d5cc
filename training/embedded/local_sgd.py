"""Local SGD: workers that train apart and average their weights every so often."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import torch


class Peers:
    """Workers on one machine that average their weights every so often, each by the steps that it has made since they last met."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.mine = folder, folder / f"worker-{number}.pt"
        self.run = uuid.uuid4().hex
        self.met: dict[str, tuple[int, int]] = {}
        """By the other's run: its steps and the own when they last met. A worker that was started again is another one, with other weights."""
        self.made = 0
        """Steps that others have made since they were first met."""
        folder.mkdir(parents=True, exist_ok=True)

    def others(self) -> list[dict[str, Any]]:
        """What the other workers have written last."""
        return [torch.load(file) for file in self.folder.glob("worker-*.pt") if file != self.mine]

    @torch.no_grad()
    def join(self, model: torch.nn.Module) -> None:
        """Begin with the weights of those who already train: what was saved is older."""
        for other in self.others():
            for name, p in model.named_parameters():
                p.copy_(other["weights"][name])

    @torch.no_grad()
    def meet(self, model: torch.nn.Module, steps: int) -> None:
        """Average with what others have written since the last time, and write the result. `steps`: those of this run."""
        weights = dict(model.named_parameters())
        for other in self.others():
            theirs, ours = self.met.get(other["run"], (other["steps"], steps))
            self.met[other["run"]] = (other["steps"], steps)
            if other["steps"] > theirs:
                new = other["steps"] - theirs
                self.made += new
                share = new / (new + max(steps - ours, 1))
                for name, p in weights.items():
                    p.lerp_(other["weights"][name].to(p.device), share)
        file = self.mine.with_suffix(".new")
        torch.save(
            {"run": self.run, "steps": steps, "weights": {name: p.detach() for name, p in weights.items()}}, file
        )
        file.rename(self.mine)
