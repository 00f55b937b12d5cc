"""Local SGD: workers that train apart and average their weights every so often."""

from __future__ import annotations

from pathlib import Path

import torch


class Peers:
    """Workers on one machine that average their weights every so often, each by the steps that it has made since."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.mine = folder, folder / f"worker-{number}.pt"
        self.read: dict[str, tuple[int, int]] = {}
        """By file: the other's step and the own when they last met."""
        self.made = 0
        """Steps that others have made, as far as seen."""
        folder.mkdir(parents=True, exist_ok=True)

    @torch.no_grad()
    def meet(self, model: torch.nn.Module, step: int) -> None:
        """Average with what others have written since the last time, and write the result."""
        weights = dict(model.named_parameters())
        for file in self.folder.glob("worker-*.pt"):
            if file == self.mine:
                continue
            other = torch.load(file)
            met, then = self.read.get(file.name, (other["step"], step))
            self.read[file.name] = (other["step"], step)
            if other["step"] > met:
                self.made += other["step"] - met
                share = (other["step"] - met) / (other["step"] - met + max(step - then, 1))
                for name, p in weights.items():
                    p.lerp_(other["weights"][name].to(p.device), share)
        new = self.mine.with_suffix(".new")
        torch.save({"step": step, "weights": {name: p.detach() for name, p in weights.items()}}, new)
        new.rename(self.mine)
