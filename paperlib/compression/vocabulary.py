"""Cut a saved classifier's vocabulary to the pieces that its texts use, and what spells every other word."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from paperlib.common.errors import UserError, is_full, words_of
from paperlib.common.files import in_one_piece
from paperlib.compression import export
from paperlib.data import sources, subsets
from paperlib.params import Params

TOKENIZER = "tokenizer.json"
PROVEN = 10_000  # texts, at most, on which a cut tokeniser is held against the whole one


def check(tokenizer: PreTrainedTokenizerBase, params: Params) -> None:
    """Raise UserError for a tokeniser that cannot be cut, found out on the texts of a study before anything is trained."""
    kind = _record(tokenizer)["model"]["type"] if tokenizer.is_fast else "slow"
    if kind != "WordPiece":  # pieces of other kinds are made of one another
        raise UserError(f"VOCABULARY=used: only WordPiece tokenisers can be cut, and the model's is {kind}")
    texts = pd.concat(subsets.draw(sources.read(params)[0], params).values())["text"].tolist()
    with TemporaryDirectory() as folder:
        _save_cut(tokenizer, kept_ids(tokenizer, texts[: len(texts) // 2]), texts, Path(folder))


def cut(source: Path, params: Params, folder: Path) -> dict:
    """Save the classifier of `source` with a cut vocabulary in `folder`; return what was cut.

    Kept are special tokens, the pieces of the training split's texts, and what spells every other word, so that none is
    lost. WordPiece takes the longest piece that is there, so a text of kept pieces is tokenised as before: raises
    UserError where it is not.
    """
    frames, _ = sources.read(params)
    tokenizer = AutoTokenizer.from_pretrained(source)
    test = subsets.draw(frames, params)["test"]["text"].tolist()
    unseen = frames["train"]["text"][~frames["train"]["text"].isin(set(test))].tolist()
    kept = kept_ids(tokenizer, unseen)
    meets = [not set(ids) <= set(kept) for ids in tokenizer(test, truncation=True, max_length=params.max_tokens)["input_ids"]]
    with in_one_piece(folder) as partial:
        _cut_model(source, kept, partial)
        _save_cut(tokenizer, kept, [*test, *unseen][:PROVEN], partial)
    return {"pieces_before": len(tokenizer), "pieces_after": len(kept), "share_meeting_cut": sum(meets) / len(meets)}


def kept_ids(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[int]:
    """Return the ids, ascending, that these texts need, the special tokens, single characters, and what they cannot spell."""
    used = {i for ids in tokenizer(texts)["input_ids"] for i in ids} | set(tokenizer.all_special_ids)
    pieces, prefix = tokenizer.get_vocab(), _record(tokenizer)["model"]["continuing_subword_prefix"]

    def is_spelt(piece: str) -> bool:
        first, *rest = piece.removeprefix(prefix)
        letters = [prefix * piece.startswith(prefix) + first, *(prefix + letter for letter in rest)]
        return len(letters) > 1 and all(letter in pieces for letter in letters)

    return sorted(used | {i for piece, i in pieces.items() if piece.removeprefix(prefix) and not is_spelt(piece)})


def _record(tokenizer: PreTrainedTokenizerBase) -> dict:
    return json.loads(tokenizer.backend_tokenizer.to_str())


def _save_cut(tokenizer: PreTrainedTokenizerBase, kept: list[int], texts: list[str], folder: Path) -> None:
    """Save a tokeniser of these pieces only; raises UserError when it does not read these texts as the whole one does."""
    tokenizer.save_pretrained(folder)
    path = folder / TOKENIZER
    try:
        path.write_text(json.dumps(renumbered(json.loads(path.read_text(encoding="utf-8")), kept), ensure_ascii=False), encoding="utf-8")
        small = AutoTokenizer.from_pretrained(folder)
        small.save_pretrained(folder)  # every other file of it follows
        otherwise = _read_otherwise(tokenizer, small, kept, texts)
    except Exception as error:  # tokenisers are of many kinds, and the library may say anything of one that was changed
        if is_full(error):
            raise
        raise UserError(f"VOCABULARY=used: the model's tokeniser cannot be cut ({words_of(error)})") from error
    if otherwise:
        raise UserError(f"VOCABULARY=used: the model's tokeniser cannot be cut: it would read texts otherwise, such as {otherwise[0][:40]!r}")


def _read_otherwise(whole: PreTrainedTokenizerBase, small: PreTrainedTokenizerBase, kept: list[int], texts: list[str]) -> list[str]:
    """Return the texts of kept pieces, all of them known, that are not read as before, and the others that lose a word."""
    unknown = whole.unk_token_id
    known = set(kept) - {unknown}
    rows = [(text, before, [kept[i] for i in after]) for text, before, after in zip(texts, whole(texts)["input_ids"], small(texts)["input_ids"])]
    return [text for text, before, after in rows
            if (before != after if known.issuperset(before) else after.count(unknown) > before.count(unknown))]


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
    """Renumber the special tokens that are put around a text, by each step where there are several."""
    if not processor:
        return processor
    if "processors" in processor:
        return {**processor, "processors": [_processor(step, new) for step in processor["processors"]]}
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
