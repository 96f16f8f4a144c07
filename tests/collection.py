"""A small collection, written by hand for these tests: bees, bread and tides.

Forty documents, twelve judged queries, grades 0 (judged, not relevant), 1 (helps) and 2 (answers).
It holds the cases that collections set as traps: `NOTHING_RELEVANT` is a query of which no document
is relevant, `NOT_BY_WORDS` one whose only relevant document shares no word with it, and `ITSELF` a
query that is itself a document, under the same id, as in collections that are made of their own
documents. Ids hold spaces and letters beyond ASCII; some documents have a title.
"""

import json
from pathlib import Path
from typing import NamedTuple

from zelo.corpora import Collection, join_title

__all__ = ["COLLECTION", "ITSELF", "NOTHING_RELEVANT", "NOT_BY_WORDS", "write_beir"]

NOTHING_RELEVANT = "q-moths"
NOT_BY_WORDS = "q-rising"
ITSELF = "claim-feeding"


class Source(NamedTuple):
    """A document as its file has it."""

    doc_id: str
    title: str
    text: str


SOURCES = (
    Source(
        "bee-waggle",
        "Waggle dance",
        "A forager that found flowers dances on the comb. The angle of her run gives the direction "
        "against the sun, and its length gives the distance.",
    ),
    Source(
        "bee-round",
        "Round dance",
        "Bees back from flowers close to the hive run in small circles. This dance tells that food "
        "is near, but not in which direction.",
    ),
    Source(
        "bee-swarm",
        "",
        "In late spring the old queen leaves with half of the workers. The swarm hangs in a tree "
        "while scouts look for a hollow.",
    ),
    Source(
        "bee-swarm-catch",
        "Catching a swarm",
        "Hold a box under the cluster and shake the branch once. If the queen falls into the box, "
        "the other bees walk in after her.",
    ),
    Source(
        "bee-queen",
        "",
        "A queen mates only in her first weeks and then lays eggs for several years. On a summer "
        "day she may lay fifteen hundred of them.",
    ),
    Source(
        "bee-royal",
        "Royal jelly",
        "Every larva gets royal jelly for three days. Those fed with it until they pupate become "
        "queens, the others workers.",
    ),
    Source(
        "bee-drone",
        "",
        "Drones have no sting and gather no food. When autumn comes the workers drive them out of "
        "the hive.",
    ),
    Source(
        "bee-winter",
        "The winter cluster",
        "Bees do not sleep through the cold months. They form a ball around the queen, shiver to "
        "keep it warm, and eat the honey that they stored.",
    ),
    Source(
        "bee-varroa",
        "Varroa mites",
        "The mite breeds under the cappings of the brood. Vapour of oxalic acid in December, when "
        "there is no brood, kills most of them.",
    ),
    Source(
        "bee-foulbrood",
        "",
        "American foulbrood turns larvae into brown threads. It must be reported, and the combs "
        "are burnt.",
    ),
    Source(
        "bee-smoke",
        "",
        "Smoke hides the alarm scent, so that guards do not sting. It also makes the bees fill up "
        "on honey, as if they had to leave.",
    ),
    Source(
        "bee-honey-water",
        "How nectar becomes honey",
        "Workers pass nectar from mouth to mouth and fan it with their wings. Once less than a "
        "fifth of it is water, they close the cell with wax.",
    ),
    Source(
        "bee-crystal",
        "",
        "Honey with much glucose goes solid within weeks. Warm the jar to forty degrees and it "
        "flows again; more heat spoils the taste.",
    ),
    Source(
        "claim-feeding",
        "",
        "Beekeepers should not feed sugar to their hives. Sugar syrup lacks what pollen and nectar "
        "hold, and colonies that live on it fall ill more often.",
    ),
    Source(
        "counter-feeding",
        "In defence of feeding",
        "Without sugar in September many hives would starve before spring. Syrup replaces only the "
        "honey that was taken; pollen the bees go on gathering by themselves.",
    ),
    Source(
        "bread-yeast",
        "",
        "Yeast cells eat sugars and give off carbon dioxide. The gas is caught in a net of gluten, "
        "which is how a loaf gets its holes.",
    ),
    Source(
        "brot-säuerung",
        "Sourdough",
        "Flour and water left standing become a home for lactic bacteria and wild yeast. Feed the "
        "starter daily, and after a week it can raise a loaf.",
    ),
    Source(
        "bread-starter-smell",
        "",
        "A starter that smells of nail varnish is hungry. Feed it twice a day with fresh flour "
        "until it smells of yoghurt.",
    ),
    Source(
        "bread-knead",
        "Kneading",
        "Working the dough lines up its gluten. Stop when a piece can be pulled so thin that light "
        "shines through it.",
    ),
    Source(
        "bread no knead",
        "",
        "Time can do the work of hands: a wet dough left for eighteen hours builds its gluten "
        "without kneading.",
    ),
    Source(
        "bread-salt",
        "",
        "Two grams of salt to a hundred of flour is usual. Salt slows the yeast down and makes "
        "the dough tighter.",
    ),
    Source(
        "bread-crust",
        "Steam in the oven",
        "Steam keeps the surface soft while the loaf still grows. Later the dry heat browns it, "
        "and the crust turns crisp.",
    ),
    Source(
        "bread-stale",
        "Why bread goes stale",
        "Starch takes on order again and pushes water out. That happens fastest in the "
        "refrigerator, so keep bread in a box or freeze it.",
    ),
    Source(
        "bread-freeze",
        "",
        "Sliced bread keeps for three months in the freezer. Toast it without thawing it first.",
    ),
    Source(
        "bread-rye",
        "",
        "Rye has little gluten. Its crumb is held by starch and gum instead, which is why rye "
        "dough is sour: acid keeps enzymes from eating the starch.",
    ),
    Source(
        "bread-hydration",
        "",
        "Hydration is the weight of water over that of flour. At sixty percent a dough is easy to "
        "shape, at eighty it sticks to everything.",
    ),
    Source(
        "bread-proof",
        "The poke test",
        "Press a finger into the dough. If the dent comes back slowly and not quite, the loaf is "
        "ready for the oven.",
    ),
    Source(
        "bread-flat",
        "",
        "Flat bread is baked on hot stone or iron for a minute or two. Many kinds need no yeast "
        "at all.",
    ),
    Source(
        "tide-moon",
        "What makes the tides",
        "The moon pulls the near side of the sea more than the earth, and the earth more than the "
        "far side. So there are two bulges, and high water comes twice a day.",
    ),
    Source(
        "tide-spring",
        "Spring tides",
        "When sun and moon stand in one line, at new and at full moon, their pulls add up. High "
        "water is then highest and low water lowest.",
    ),
    Source(
        "tide-neap",
        "Neap tides",
        "At half moon the sun pulls across the moon's line. The range between high and low water "
        "is small for a few days.",
    ),
    Source(
        "tide-delay",
        "",
        "High water comes about fifty minutes later each day, because the moon has moved on along "
        "its path.",
    ),
    Source(
        "tide-bore",
        "",
        "In some rivers the flood runs upstream as a wave, called a bore. Funnel-shaped mouths and "
        "a large range make it.",
    ),
    Source(
        "tide-fundy",
        "Bay of Fundy",
        "The bay swings in step with the tide, like water in a bath. Its range of sixteen metres "
        "is the largest known.",
    ),
    Source(
        "tide-baltic",
        "",
        "In the Baltic the tides hardly count. Wind and air pressure move its level far more than "
        "the moon does.",
    ),
    Source(
        "tide-mill",
        "Tide mills",
        "A gate lets the flood into a pond. At ebb the water leaves over a wheel, which grinds "
        "flour for bread.",
    ),
    Source(
        "tide-power",
        "",
        "The barrage on the Rance has made electricity from the tides since 1966. It turns with "
        "ebb and flood.",
    ),
    Source(
        "tide-crab",
        "",
        "Fiddler crabs keep the time of the tides even in a tank. They darken and pale as if the "
        "sea still came and went.",
    ),
    Source(
        "marée-pêche",
        "Fishing by the tide table",
        "Walk out behind the ebb and be back before the flood. On flat sand it can run faster than "
        "a person walks.",
    ),
    Source(
        "tide-surge",
        "",
        "A storm surge adds wind to the tide. The worst floods come when it meets a spring tide at "
        "high water.",
    ),
)

QUERIES = {
    "q-dance": "how do bees tell each other the direction of flowers",
    "q-swarm": "how to catch a swarm of bees",
    "q-winter": "what do bees do in winter",
    "q-mites": "when to treat varroa mites with oxalic acid",
    NOTHING_RELEVANT: "wax moth traps for empty combs",
    ITSELF: "Beekeepers should not feed sugar to their hives.",
    NOT_BY_WORDS: "what makes a risen dough fluffy?",
    "q-gluten": "gluten without kneading",
    "q-stale": "should bread be kept in the refrigerator",
    "q-starter": "sourdough starter smells bad, how often to feed it",
    "q-spring": "why is high water highest at full moon",
    "q-größte Flut": "largest tidal range in the world",
}

QRELS: dict[str, dict[str, float]] = {
    "q-dance": {"bee-waggle": 2, "bee-round": 1, "bee-smoke": 0},
    "q-swarm": {"bee-swarm-catch": 2, "bee-swarm": 1, "bee-queen": 0},
    "q-winter": {"bee-winter": 2, "bee-drone": 1, "counter-feeding": 1, "bee-varroa": 0},
    "q-mites": {"bee-varroa": 2},
    NOTHING_RELEVANT: {"bee-varroa": 0, "bee-foulbrood": 0},
    ITSELF: {"counter-feeding": 2},
    NOT_BY_WORDS: {"bread-yeast": 2},
    "q-gluten": {"bread no knead": 2, "bread-knead": 1, "bread-rye": 0},
    "q-stale": {"bread-stale": 2, "bread-freeze": 1},
    "q-starter": {"bread-starter-smell": 2, "brot-säuerung": 1},
    "q-spring": {"tide-spring": 2, "tide-moon": 1, "tide-neap": 1, "tide-surge": 1},
    "q-größte Flut": {"tide-fundy": 2, "tide-bore": 1, "tide-neap": 0},
}

COLLECTION = Collection(
    name="small",
    documents={found.doc_id: join_title(found.title, found.text) for found in SOURCES},
    queries=QUERIES,
    qrels=QRELS,
)
"""What reading the folder that `write_beir` writes gives."""


def write_beir(folder: Path) -> Path:
    """Write the collection as a BEIR folder named `small` inside `folder`, and return its path."""
    home = folder / COLLECTION.name
    (home / "qrels").mkdir(parents=True)
    corpus = [{"_id": d.doc_id, "title": d.title, "text": d.text} for d in SOURCES]
    queries = [{"_id": query_id, "text": text} for query_id, text in QUERIES.items()]
    for name, records in (("corpus", corpus), ("queries", queries)):
        lines = [json.dumps(record, ensure_ascii=False) for record in records]
        (home / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [
        f"{query_id}\t{doc_id}\t{grade}"
        for query_id, judged in QRELS.items()
        for doc_id, grade in judged.items()
    ]
    table = "\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n"
    (home / "qrels" / "test.tsv").write_text(table, encoding="utf-8")
    return home
