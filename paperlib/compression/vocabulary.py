"""Cut a saved classifier's vocabulary to the pieces that its texts use, and what spells every other word."""

import json
from pathlib import Path

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from paperlib.common.errors import UserError
from paperlib.common.files import in_one_piece
from paperlib.compression import export
from paperlib.data import sources, subsets
from paperlib.params import Params

TOKENIZER = "tokenizer.json"


def check(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise UserError for a tokeniser that cannot be cut: pieces of other kinds are made of one another."""
    kind = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["type"] if tokenizer.is_fast else "slow"
    if kind != "WordPiece":
        raise UserError(f"VOCABULARY=used: only WordPiece tokenisers can be cut, and the model's is {kind}")


def cut(source: Path, params: Params, folder: Path) -> dict:
    """Save the classifier of `source` with a cut vocabulary in `folder`; return what was cut.

    Kept are special tokens, the pieces of the training split's texts, and all single characters, so that no word is
    lost. WordPiece takes the longest piece that is there, so a text of kept pieces is tokenised as before.
    """
    frames, _ = sources.read(params)
    tokenizer = AutoTokenizer.from_pretrained(source)
    test = subsets.draw(frames, params)["test"]["text"].tolist()
    unseen = frames["train"]["text"][~frames["train"]["text"].isin(set(test))].tolist()
    kept = kept_ids(tokenizer, unseen)
    meets = [not set(ids) <= set(kept) for ids in tokenizer(test, truncation=True, max_length=params.max_tokens)["input_ids"]]
    with in_one_piece(folder) as partial:
        _cut_model(source, kept, partial)
        tokenizer.save_pretrained(partial)
        path = partial / TOKENIZER
        path.write_text(json.dumps(renumbered(json.loads(path.read_text(encoding="utf-8")), kept), ensure_ascii=False), encoding="utf-8")
        AutoTokenizer.from_pretrained(partial).save_pretrained(partial)  # every other file of it follows
    return {"pieces_before": len(tokenizer), "pieces_after": len(kept), "share_meeting_cut": sum(meets) / len(meets)}


def kept_ids(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[int]:
    """Return the ids, ascending, that these texts, the special tokens and single characters need."""
    used = {i for ids in tokenizer(texts)["input_ids"] for i in ids} | set(tokenizer.all_special_ids)
    letters = {i for piece, i in tokenizer.get_vocab().items() if len(piece.removeprefix("##")) == 1}
    return sorted(used | letters)


def renumbered(record: dict, kept: list[int]) -> dict:
    """Return the content of a tokenizer.json with these pieces only, numbered by their places in `kept`."""
    new = {old: place for place, old in enumerate(kept)}
    vocabulary = {piece: new[old] for piece, old in record["model"]["vocab"].items() if old in new}
    added = [{**token, "id": new[token["id"]]} for token in record["added_tokens"] if token["id"] in new]
    padding = record.get("padding")
    if padding:
        padding = {**padding, "pad_id": new[padding["pad_id"]]}
    changed = {"model": {**record["model"], "vocab": vocabulary}, "added_tokens": added, "padding": padding}
    return {**record, **changed, "post_processor": _processor(record.get("post_processor"), new)}


def _processor(processor: dict | None, new: dict[int, int]) -> dict | None:
    """Renumber the special tokens that are put around a text."""
    if not processor:
        return processor
    changed = {name: [token, new[i]] for name in ("sep", "cls") if name in processor for token, i in [processor[name]]}
    if isinstance(processor.get("special_tokens"), dict):
        changed["special_tokens"] = {
            name: {**token, "ids": [new[i] for i in token["ids"]]} for name, token in processor["special_tokens"].items()
        }
    return {**processor, **changed}


def _cut_model(source: Path, kept: list[int], folder: Path) -> None:
    model, new = export.load(source), {old: place for place, old in enumerate(kept)}
    table = model.get_input_embeddings()
    smaller = torch.nn.Embedding(len(kept), table.embedding_dim)
    smaller.weight.data = table.weight.detach()[torch.tensor(kept)].clone()
    model.set_input_embeddings(smaller)
    model.config.vocab_size = len(kept)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"):
        if getattr(model.config, name, None) in new:
            setattr(model.config, name, new[getattr(model.config, name)])
    model.save_pretrained(folder)
