"""Where each collection comes from, under which licence, and what must come out."""

from collections.abc import Callable
from typing import NamedTuple

from beir_files import Collection
from evaluation_sets import contractnli, cosqa, scifact, tatqa
from repositories import Files
from training_sets import clapnq, medquad, nl2bash, nqg, tldr

__all__ = ["RECIPES", "Recipe"]


class Recipe(NamedTuple):
    """A collection: its use, its source, and how it is made of that."""

    use: str
    repository: str
    """On GitHub."""
    commit: str
    paths: tuple[str, ...]
    """Patterns of the files that are read."""
    licence: str
    build: Callable[[Files], Collection]
    digest: str
    """Of what comes out, as `beir_files.digest` has it."""


RECIPES = {
    "nqg": Recipe(
        "training",
        "xinyadu/nqg",
        "8211129a3e97d29f3e4563e35f65e4a892f70ef0",
        (
            "data/processed/src-dev.txt",
            "data/processed/src-test.txt",
            "data/processed/tgt-test.txt",
        ),
        "CC BY-SA 4.0 (text from SQuAD)",
        nqg,
        "193520d40055d35faf48473ff11d085c782bf56e1b57c3e177088f533bc858a0",
    ),
    "clapnq": Recipe(
        "training",
        "primeqa/clapnq",
        "eb26840d130f4dcf4c4c5c12a47d0beffc9cc586",
        ("retrieval/train/question_train_answerable.tsv",),
        "Apache-2.0, text CC BY-SA 3.0",
        clapnq,
        "ea53c6a49241a6ddfc673cc157ed05192431813f7c366573978df6bb1150773b",
    ),
    "tldr-en": Recipe(
        "training",
        "tldr-pages/tldr",
        "08e345f42639f67d99282813247ac670dc6e87cb",
        ("pages/*.md",),
        "CC BY 4.0",
        tldr,
        "7fe93b297c722b6b5ed66407f2cd6eaf36b511132f3477512f84ea54930d7c8e",
    ),
    "nl2bash": Recipe(
        "training",
        "TellinaTool/nl2bash",
        "466c5fe873ab08c7cc0112ea1521cc6ad9c20992",
        ("data/bash/all.nl", "data/bash/all.cm"),
        "MIT",
        nl2bash,
        "dc89425d4a378b74127a54a1e03401e5e49b4bb5b24ba7c0eb45126b87736a43",
    ),
    "medquad": Recipe(
        "training",
        "abachaa/MedQuAD",
        "577bd37b96c02d1833b2c9eed2de9f96964e96cb",
        ("*.xml",),
        "CC BY 4.0",
        medquad,
        "47ee60eac619f3fee0bef26d3655ad44e339ddc9e2624d42be5d0735f199db58",
    ),
    "scifact": Recipe(
        "training, evaluation",
        "sumithra-p-v/claimverifier",
        "b42f1c3444b28884ddcfadffafbfe223646c6c37",
        ("data/scifact.zip",),
        "claims CC BY 4.0, abstracts ODC-By 1.0",
        scifact,
        "e5dcfe8c4a0cf8b9884ca487ac42633f53d22e63e88ead4a7fb342f691a04281",
    ),
    "cosqa": Recipe(
        "evaluation",
        "Jun-jie-Huang/CoCLR",
        "14ebcacf9e9bc3e7109102632bc63047876f27d2",
        (
            "data/search/code_idx_map.txt",
            "data/search/cosqa-retrieval-dev-500.json",
            "data/search/cosqa-retrieval-test-500.json",
        ),
        "C-UDA (Computational Use of Data Agreement)",
        cosqa,
        "68a321392944703a00c1a347f23cc48f7dfa2a299ab3803eea0700d5d91eaf9c",
    ),
    "contractnli": Recipe(
        "evaluation",
        "02noDarling/MyLegalBenchRag",
        "ffe332e6473bf5ee344e62e10a4b8b1ed4c54a31",
        ("src/data/benchmarks/contractnli.json", "src/data/corpus/contractnli"),
        "CC BY 4.0 (ContractNLI)",
        contractnli,
        "76733feba20f5f5519adc46fdf26b09dace8897cfe47f386ca55e9b43148ceb3",
    ),
    "tatqa": Recipe(
        "evaluation",
        "NExTplusplus/TAT-QA",
        "870accc41953dcde885aabeb963d94aabdc0fbc3",
        (
            "dataset_raw/tatqa_dataset_dev.json",
            "dataset_raw/tatqa_dataset_test_gold.json",
        ),
        "CC BY 4.0",
        tatqa,
        "76e13a18dcedc62ad0e84943095cfcffc852f77bac5a2c86701ce7de75532f71",
    ),
}
