"""What a model is asked to answer, as JSON schemas, and how an answer is read while it is being written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from imajin.prompt.v1 import prompt_pb2
from imajin_servers.prompt.composition import Brief, Prompt, Shot, adopted, composed
from imajin_servers.prompt.composition.catalogue import Choice, looks
from imajin_servers.prompt.composition.prompts import LONGEST_NAME, LONGEST_NEGATIVE, LONGEST_PROMPT
from imajin_servers.prompt.composition.subject import clipped
from imajin_servers.runtime.errors import LlmFailed

LONGEST_ANSWER = 64 * 1024
THOUGHTS = "thoughts"
# Reading a prompt can't be interrupted, and a small model takes in little of a long one.
LONGEST_TOLD = 160
LENGTHS = {"name": LONGEST_NAME, "prompt": LONGEST_PROMPT, "negativePrompt": LONGEST_NEGATIVE}

SLOTS_SYSTEM = (
    "You are a photographer. You say in plain words how a picture should look, then you choose how to take it."
)
FULL_SYSTEM = (
    "You write prompts for an image model. Each prompt begins with the subject in the user's own words and goes on with"
    " concrete, visible facts: setting, composition, light, colour, lens or medium, in one line of comma-separated phrases"
    " without instructions. Prompts differ from each other in composition and light. Be accurate and respectful about"
    " cultures. The negative prompt lists, comma-separated, what must not appear. Answer in JSON only."
)


def strict(properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object that has these properties, all of them and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


class SlotsForm:
    """For a small model: it thinks aloud in a sentence, then chooses for each prompt what the rules left open."""

    system = SLOTS_SYSTEM

    def __init__(self, brief: Brief) -> None:
        self.brief = brief
        self.keys = [f"shot{index + 1}" for index in range(len(brief.shots))]
        told = clipped(brief.subject.text, LONGEST_TOLD)
        self.user = f"Say in one sentence how a good picture of this looks: {told}"
        if brief.hints:
            self.user += clipped(f" ({', '.join(brief.hints[:3])})", LONGEST_TOLD)
        self.max_tokens = 160 + 80 * len(self.keys)

    def schema(self) -> dict[str, Any]:
        """The schema of the answer."""
        properties: dict[str, Any] = {THOUGHTS: {"type": "string", "pattern": self.thoughts()}}
        for key, shot in zip(self.keys, self.brief.shots, strict=True):
            properties[key] = strict(
                {
                    "view": {"enum": [view.name for view in shot.views]},
                    "light": {"enum": [light.name for light in shot.lights]},
                    "detail": {"enum": list(shot.details)},
                }
            )
        return strict(properties)

    def thoughts(self) -> str:
        """What the model may think aloud, as a pattern. Left free, 135M parameters soon talk nonsense, or worse."""
        mood, focus, keep = ("|".join(words) for words in (looks().moods, self.brief.kind.focus, looks().keeps))
        return f"^A ({mood}) picture[.] One looks at ({focus}) first, so keep ({keep})[.]$"

    def entries(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """The entries that have begun, in order."""
        return [answer[key] for key in self.keys if isinstance(answer.get(key), dict)]

    def prompt(self, index: int, entry: dict[str, Any]) -> Prompt:
        """The prompt that the finished entry `index` stands for."""
        shot = self.brief.shots[index]
        detail = entry.get("detail")
        chosen = Shot(
            view=named(shot.views, entry.get("view")),
            light=named(shot.lights, entry.get("light")),
            detail=detail if detail in shot.details else shot.details[0],
        )
        return composed(self.brief, index, chosen)


class FullForm:
    """For a model that writes well: it writes whole prompts, as messages of the contract."""

    system = FULL_SYSTEM

    def __init__(self, brief: Brief) -> None:
        self.brief = brief
        self.count = len(brief.shots)
        lines = [
            f"Write {self.count} prompts for: {brief.subject.text}",
            f"Medium: {brief.medium.name}",
            *(f"Include: {hint}" for hint in brief.hints),
            *(f"Avoid: {say}" for say in brief.avoid[:6]),
            *(f"Leave out: {term}" for term in brief.subject.excluded),
            "In `thoughts`, say shortly what matters in this picture.",
        ]
        self.user = "\n".join(lines)
        # Room for a model that reasons before it answers.
        self.max_tokens = 2048 + 320 * self.count

    def schema(self) -> dict[str, Any]:
        """The schema of the answer: the fields of ParsedPrompt by their JSON names."""
        fields = {
            field.json_name: {"type": "string", "minLength": 1, "maxLength": LENGTHS[field.json_name]}
            for field in prompt_pb2.ParsedPrompt.DESCRIPTOR.fields
        }
        return strict(
            {
                THOUGHTS: {"type": "string", "maxLength": 600},
                "prompts": {"type": "array", "items": strict(fields), "minItems": self.count, "maxItems": self.count},
            }
        )

    def entries(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """The entries that have begun, in order."""
        prompts = answer.get("prompts")
        return [entry for entry in prompts if isinstance(entry, dict)] if isinstance(prompts, list) else []

    def prompt(self, index: int, entry: dict[str, Any]) -> Prompt:
        """The prompt that the finished entry `index` stands for."""
        name, prompt, negative = (str(entry.get(key, "")) for key in LENGTHS)
        return adopted(self.brief, name, prompt, negative)


Form = SlotsForm | FullForm


def named(choices: tuple[Choice, ...], name: object) -> Choice:
    """The choice of that name. An endpoint that ignores the schema may name none of them: then the first."""
    return next((choice for choice in choices if choice.name == name), choices[0])


class Reading:
    """An answer as far as it has been written: new thoughts and finished prompts come out as soon as they can be told."""

    def __init__(self, form: Form, count: int) -> None:
        self.form = form
        self.count = count
        self.text = ""
        self.thoughts = ""
        self.prompts: list[Prompt] = []

    def add(self, text: str) -> Iterator[str | Prompt]:
        """Reads on: yields text to append to the thoughts, and prompts."""
        self.text += text
        if len(self.text) > LONGEST_ANSWER:
            raise LlmFailed("the language model doesn't stop writing")
        yield from self.news(whole=False)

    def end(self) -> Iterator[str | Prompt]:
        """Reads what is left. Raises LlmFailed when nothing of the answer is what was asked for; an answer cut short is taken as it is."""
        yield from self.news(whole=True)
        if not self.prompts and not self.thoughts:
            raise LlmFailed("the language model's answer isn't what was asked for")

    def news(self, *, whole: bool) -> Iterator[str | Prompt]:
        """What can be told since the last time."""
        begin = self.text.find("{")
        if begin < 0:
            return
        # An endpoint that ignores the schema may put a fence around the answer.
        end = self.text.rfind("}") + 1 if whole else len(self.text)
        answer, complete = parsed(self.text[begin:end]) if whole else (None, False)
        if not complete:
            answer, _ = parsed(self.text[begin:], partial=True)
        if not isinstance(answer, dict):
            return
        thoughts = answer.get(THOUGHTS)
        if isinstance(thoughts, str) and len(thoughts) > len(self.thoughts):
            fresh, self.thoughts = thoughts[len(self.thoughts) :], thoughts
            yield fresh
        entries = self.form.entries(answer)
        # The last entry may still be growing.
        finished = entries if complete else entries[:-1]
        for index in range(len(self.prompts), min(len(finished), self.count)):
            prompt = self.form.prompt(index, finished[index])
            self.prompts.append(prompt)
            yield prompt


def parsed(text: str, *, partial: bool = False) -> tuple[object, bool]:
    """`text` as JSON, and whether that worked."""
    try:
        return from_json(text, allow_partial="trailing-strings" if partial else False), True
    except ValueError:
        return None, False
