"""The table, and whether every goal is met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GOALS = {"top1": 0.85, "top5": 0.95, "colour": 0.85, "pairs": 0.60, "synonyms": 0.70, "variety": 0.5}
MOST = {"seconds_20_steps": 3.0, "load_seconds": 2.0, "mebibytes": 64.0}
FEW = (8, 4, 2)
Results = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Row:
    """A part of the pictures that came out right, beside the judge's own on real ones; `goal` 0: none was set."""

    what: str
    drawn: float
    real: float
    goal: float = 0.0

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.drawn >= self.goal

    def line(self) -> str:
        """In Markdown."""
        goal = f"{100 * self.goal:.0f}% | {verdict(self.met)}" if self.goal else "| "
        return f"| {self.what} | {100 * self.drawn:.1f}% | {100 * self.real:.1f}% | {goal} |"


def verdict(met: bool) -> str:
    """In a word."""
    return "met" if met else "missed"


def report(results: Results) -> tuple[str, bool]:
    """The Markdown tables, and whether every goal is met."""
    words, scenes, pairs = results["in_vocabulary"], results["scenes"], results["pairs"]
    rows = [
        Row("200 prompts of 124 things, top-1", words["top1"], words["judge_top1"], GOALS["top1"]),
        Row("200 prompts of 124 things, top-5", words["top5"], words["judge_top5"], GOALS["top5"]),
        Row("60 colours, right", results["colours"]["right"], results["colours"]["judge_right"], GOALS["colour"]),
        Row("40 pairs, both there", pairs["both"], pairs["judge_both"], GOALS["pairs"]),
        Row("40 synonyms, top-1", results["synonyms"]["top1"], results["synonyms"]["judge_top1"], GOALS["synonyms"]),
        Row("60 in scenes, portrait and landscape, top-5", scenes["top5"], scenes["judge_top5"]),
        Row("the same, a second one beside the first", scenes["twice"], scenes["judge_twice"]),
    ]
    if unseen := results.get("unseen_pairs"):
        text = "40 pairs never shown together in training, both there"
        rows.insert(4, Row(text, unseen["both"], unseen["judge_both"], GOALS["pairs"]))
    lines = ["| what | generated | real pictures, held-out style | goal | |", "|---|---|---|---|---|"]
    lines += [row.line() for row in rows]
    variety = results["variety"]["ratio"]
    diverse = variety >= GOALS["variety"]
    lines.append(
        f"| variety: 8 seeds against the styles | {variety:.2f} | 1 | {GOALS['variety']} | {verdict(diverse)} |"
    )
    costs = results["speed"]
    small = {name: costs[name] <= most for name, most in MOST.items()}
    named = {
        "seconds_20_steps": "seconds a picture, 20 steps, one thread",
        "load_seconds": "seconds to load",
        "mebibytes": "MiB in the repository",
    }
    lines += [f"| {named[name]} | {costs[name]:.2f} | | {MOST[name]:g} | {verdict(small[name])} |" for name in MOST]
    lines.append(f"| of its networks' own time in the same run | {costs['ratio_to_networks']:.2f} | | | |")
    few = results["few_steps"]
    lines += ["", "| steps | seconds a picture | 124 names, top-1 | top-5 |", "|---|---|---|---|"]
    lines += [
        f"| {n} | {costs[f'seconds_{n}_steps']:.2f} | {100 * few[f'top1_{n}']:.1f}% | {100 * few[f'top5_{n}']:.1f}% |"
        for n in FEW
    ]
    lines.append(f"| real pictures | | {100 * few['judge_top1']:.1f}% | {100 * few['judge_top5']:.1f}% |")
    chance = f"Pairs swapped among prompts (what chance gives): {100 * pairs['wrong_pair']:.0f}%."
    met = all(row.met for row in rows) and diverse and all(small.values())
    return "\n".join(lines) + f"\n\n{chance}\n", met
