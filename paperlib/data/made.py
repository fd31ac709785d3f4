"""Make the sentences, vocabulary and tiny encoder of the smoke profile: no download, no meaning."""

import numpy as np
import pandas as pd

TOPICS = {
    "weather": "rain snow wind cloud storm sun frost thunder".split(),
    "kitchen": "bread soup butter salt oven spoon onion flour".split(),
    "harbour": "boat sail anchor rope tide gull pier captain".split(),
    "garden": "rose spade seed hedge soil apple bee shade".split(),
}
FILLERS = "the a of in near with old new small some quiet every under after we saw they keep two".split()
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = SPECIALS + FILLERS + [word for words in TOPICS.values() for word in words]


def make(n: int, seed: int) -> pd.DataFrame:
    """Make `n` distinct sentences of four topics, as columns text and label; two words in three are fillers."""
    rng = np.random.default_rng(seed)
    rows: dict[str, int] = {}
    while len(rows) < n:
        label = len(rows) % len(TOPICS)
        rows.setdefault(_sentence(rng, list(TOPICS.values())[label]), label)
    return pd.DataFrame({"text": list(rows), "label": list(rows.values())})


def _sentence(rng: np.random.Generator, topic_words: list[str]) -> str:
    length = rng.integers(5, 13)
    words = [rng.choice(topic_words if rng.random() < 1 / 3 else FILLERS) for _ in range(length)]
    return " ".join(words)
