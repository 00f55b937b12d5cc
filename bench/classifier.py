"""How long the cultural classifier takes, beside one regular expression of all its names by Python's `re`: `python bench/classifier.py`.

CPU time of the thread (what the work costs) and wall time (what a caller waits), in milliseconds, by text. No system classifies cultures
by rules; what it has to do at least is to find names, and an alternation of them, the longest first, is how that is usually written. It weighs
nothing of what it finds, nor does it know the words of scripts without spaces.
"""

from __future__ import annotations

import random
import re
import time
from statistics import median

import results
from imajin_servers.prompt.classification import Classifier, Query, rules

RUNS = 200
EACH = 20
"""Runs of the classifier for one of the regular expression."""
NAMES = [word for culture in rules.cultures().values() for word in culture.words]
TEXTS = {
    "short, English": "a happy panda eating watermelon",
    "one sentence": "A woman in a kimono under cherry blossom in Kyoto, at dusk, near a shrine",
    "4000 characters, English": (
        "A woman in Kyoto wears a kimono and eats sushi near a shrine while the fox looks on. " * 60
    )[:4000],
    "4000 characters, Japanese": ("着物を着た女性が京都で寿司を食べる、" * 300)[:4000],
    "4000 characters, Hindi": ("दिवाली पर दीये, दिल्ली में। " * 200)[:4000],
    "4000 characters, nothing but names": " ".join(random.Random(1).choices(NAMES, k=600))[:4000],
}


def main() -> None:
    """Measures, prints a table and keeps it."""
    began = time.thread_time()
    classifier = Classifier()
    reading = (time.thread_time() - began) * 1000
    names = sorted((" ".join(words) for words in classifier.index.table), key=len, reverse=True)
    expression = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b", re.IGNORECASE)
    rows: list[list[results.Cell]] = []
    for name, text in TEXTS.items():
        query = Query(text)
        classifier.classify(query)
        cpu, wall, plain = [], [], []
        for number in range(RUNS):
            at_cpu, at_wall = time.thread_time(), time.perf_counter()
            classifier.classify(query)
            cpu.append((time.thread_time() - at_cpu) * 1000)
            wall.append((time.perf_counter() - at_wall) * 1000)
            if number % EACH == 0:
                began = time.thread_time()
                expression.findall(text)
                plain.append((time.thread_time() - began) * 1000)
        ratio = median(cpu) / median(plain)
        rows.append([name, median(cpu), sorted(cpu)[int(RUNS * 0.95)], median(wall), median(plain), ratio])
    results.write(
        "classifier",
        f"Cultural classification of one description, {RUNS} runs each, ms",
        ["text", "CPU, median", "CPU, 95th percentile", "wall, median", "re: CPU, median", "ratio of CPU"],
        rows,
        f"{len(classifier.index.table)} names are looked for. Reading all rules, once a process: {reading:.0f} ms of CPU.",
    )


if __name__ == "__main__":
    main()
