"""Infinity's server on a tiny random cross-encoder, which is made here.

Writes the scores that sentence-transformers finds for the case into the folder given, then becomes
Infinity's server on the port given.
"""
# requires: infinity_emb[server,torch]==0.0.78 click<8.2

import json
import os
import sys
from pathlib import Path

import torch
from case import read_case
from sentence_transformers import CrossEncoder
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

folder, port = Path(sys.argv[1]), sys.argv[2]
case = read_case()
words = sorted(set(" ".join([case.query, *case.documents]).lower().split()))
letters = sorted(set("".join(words)))
marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
vocabulary = marks + letters + [f"##{letter}" for letter in letters]
(folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
torch.manual_seed(0)
sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
config = BertConfig(
    vocab_size=len(vocabulary), num_attention_heads=2, num_labels=1, initializer_range=0.5, **sizes
)
BertForSequenceClassification(config).save_pretrained(folder)

model = CrossEncoder(str(folder), device="cpu")
scores = model.predict([(case.query, text) for text in case.documents])
expected = json.dumps([float(score) for score in scores])
(folder / "expected.json").write_text(expected, encoding="utf-8")
server = [str(Path(sys.executable).with_name("infinity_emb")), "v2", "--model-id", str(folder)]
where = ["--host", "127.0.0.1", "--port", port, "--api-key", case.key]
how = [
    "--served-model-name",
    "tiny",
    "--device",
    "cpu",
    "--no-bettertransformer",
    "--dtype",
    "float32",
]
os.environ["DO_NOT_TRACK"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.execv(server[0], [*server, *where, *how, "--no-model-warmup"])  # noqa: S606
