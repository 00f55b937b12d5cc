"""Thoughts and answer are told apart however the text is cut into pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imajin_servers.prompt.reasoning.engine import Thought
from imajin_servers.prompt.reasoning.thinking import Splitter

PLAIN = st.text(alphabet="ab<>/think ", max_size=20).filter(
    lambda text: "<think>" not in text and "</think>" not in text
)


def parted(pieces: list[str], *, thinking: bool = False) -> tuple[str, str]:
    splitter = Splitter(thinking=thinking)
    parts = [part for piece in pieces for part in splitter.add(piece)] + list(splitter.end())
    thoughts = "".join(part.text for part in parts if isinstance(part, Thought))
    return thoughts, "".join(part.text for part in parts if not isinstance(part, Thought))


@given(data=st.data(), thought=st.text(alphabet="abc {}", max_size=20), answer=st.text(alphabet="abc {}", max_size=20))
def test_any_cut_gives_the_same_parts(data: st.DataObject, thought: str, answer: str) -> None:
    whole = f"<think>{thought}</think>{answer}"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert parted(pieces) == (thought, answer)


@given(text=PLAIN)
def test_text_without_marks_is_the_answer(text: str) -> None:
    assert parted([*text]) == ("", text)


def test_a_template_may_have_opened_the_thought() -> None:
    assert parted(["I wonder", "</thi", "nk>", "{}"], thinking=True) == ("I wonder", "{}")


def test_a_thought_that_never_ends_is_no_answer() -> None:
    assert parted(["<think>", "for ever <"]) == ("for ever <", "")
