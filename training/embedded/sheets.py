"""Draw the contact sheets of docs/embedded-model: what it knows, colours, pairs, aspects, seeds, styles, scenes, long prompts.

Nothing is picked by hand: the prompts below, seeds counted up from --seed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import sample

SHEETS: dict[str, tuple[int, list[str]]] = {
    "vocabulary": (
        8,
        [
            *(
                "smiling face",
                "cool face with sunglasses",
                "crying face",
                "robot",
                "ghost",
                "woman",
                "man with beard",
                "astronaut",
            ),
            *("chef", "princess", "Santa Claus", "firefighter", "cat", "dog", "panda", "fox"),
            *("lion", "unicorn", "elephant", "rabbit", "penguin", "owl", "frog", "octopus"),
            *("butterfly", "sunflower", "rose", "palm tree", "cactus", "mushroom", "watermelon", "banana"),
            *("pineapple", "strawberry", "avocado", "carrot", "hamburger", "pizza", "sushi", "donut"),
            *("birthday cake", "ice cream", "cup of coffee", "volcano", "house", "castle", "bus", "car"),
            *("bicycle", "steam train", "airplane", "rocket", "sun", "moon", "star", "rainbow"),
            *("snowman", "balloon", "gift", "soccer ball", "teddy bear", "guitar", "camera", "heart"),
        ],
    ),
    "colours": (
        8,
        [
            f"a {colour} {thing} on a white background"
            for thing in ("car", "cat", "balloon")
            for colour in ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black")
        ],
    ),
    "pairs": (
        4,
        [
            *("a cat and a dog", "an apple and a banana", "a lion and a rabbit", "a car and a tree"),
            *("a panda eating watermelon", "a bear with a donut", "a woman with a guitar", "a fox next to a mushroom"),
            *("a penguin and a snowman", "a boy with a balloon", "a sun and a cloud", "a rocket and a star"),
        ],
    ),
    "styles": (
        4,
        [
            f"{thing}, {style}"
            for thing in ("a cat", "a woman", "a house", "a hamburger")
            for style in ("3d style", "flat illustration", "gradient style", "cartoon style")
        ],
    ),
    "seeds": (8, [name for name in ("a dog", "a smiling woman", "a rose", "a car") for _ in range(8)]),
    "scenes": (
        4,
        [
            *("a dog on a beach at sunset", "a cow in a meadow", "a penguin in the snow", "a bus in the city at night"),
            *("a fox in the forest", "a fish underwater", "a rocket in space", "a bear in the mountains"),
            *("a cat in a room", "a car in the desert", "an owl under the stars, forest", "a parrot in the sky"),
        ],
    ),
    "long": (
        4,
        [
            "A happy panda eating watermelon, soft light, centered composition, highly detailed",
            "photorealistic portrait of a smiling woman, natural light, shallow depth of field, 50mm lens",
            "a cute puppy playing in a green field on a sunny day, vibrant colors, playful mood",
            "an astronaut in outer space, cinematic lighting, masterpiece, 8k",
            "anime style illustration of a princess in a garden, best quality",
            "a delicious hamburger with french fries on an orange background, studio lighting",
            "a red sports car in the city at night, wide angle shot, ultra realistic",
            "a little kitten in the snow, warm mood, sharp focus",
        ],
    ),
}
ASPECTS = ("a happy panda", "a smiling woman", "a dog on a beach at sunset", "a red car")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[*SHEETS, "aspects"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guidance", type=float, default=3.5)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    pipeline = sample.load(args.dir)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.only:
        if name == "aspects":
            columns, labelled = 3, []
            for prompt in ASPECTS:
                for size in ((320, 192), (256, 256), (192, 320)):
                    picture = sample.draw(pipeline, [prompt], size, args.seed, args.steps, args.guidance)[0]
                    labelled.append((f"{prompt} ({size[0]}x{size[1]})", picture))
        else:
            columns, prompts = SHEETS[name]
            pictures = sample.draw(pipeline, prompts, (256, 256), args.seed, args.steps, args.guidance)
            labelled = list(zip(prompts, pictures, strict=True))
        sample.sheet(labelled, columns).save(args.out / f"{name}.webp", quality=86, method=6)


if __name__ == "__main__":
    main()
