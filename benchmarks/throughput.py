"""What a training costs beside its arithmetic, and its speed beside peers of the same size (20 minutes).

A simulated world stands in a Delta table as the project lays out marts.examples. From it, rows are sampled while they
are read, hashed, shuffled and trained on; against that, the same model takes as many batches of tensors that lie ready
in order. All in CPU-seconds of one process, in turns, medians of the rounds; imports are not counted. Sampling costs
what the read takes more than that of a table of the sample alone; logged scores of a teacher cost finding them by id.

Peers train with Adam on the same rows, columns, batches and sizes as ours: the numbers as they are, one tower of two
layers beside two cross layers of low rank (deepctr-torch's are of full rank), one action. torchrec drops
nothing, nor do we here; the other two do.
"""

import argparse
import json
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from deltalake import WriterProperties, write_deltalake

from benchmarks._figures import FOLDER, Figure, report
from benchmarks._peers import peer_python
from benchmarks._simulated import SPEC, simulated_examples
from benchmarks.movielens import COMMON, PEERS
from lakehouse.dataset import ACTIONS
from lakehouse.home import Home
from lakehouse.recipes import Recipe
from lakehouse.sampling import open_sample, read_sample
from lakehouse.versions import Pin, open_dataset, pin
from orchestration.teaching import logits_of
from ranker import Examples, Label, LoggedLogits, Ranker, RankerConfig, TrainingConfig, fit, head_names, score
from ranker.loop import Objective, train
from ranker.metrics import auc
from ranker.optimizer import optimizer_of
from ranker.reproducible import reproducible
from ranker.rows import Rows, TrainingRows
from ranker.start import fresh, meet
from simulator.chance import draw
from simulator.world import World

EXPOSURES, WEEKS, CLICK_LOG_ODDS = 1_000_000, 1, -3.85
RECIPE = Recipe(name="a third", materialised=False, rules=(), otherwise=0.3, random_share=0)
ONE_ACTION = replace(SPEC, labels=(Label(name="click", action="click"),), acted="click")
DEEP_PEERS = ("deepctr", "rechub", "torchrec")
SIZES: dict[str, Any] = {"embedding": 16, "hidden": (256, 128), "cross_layers": 2, "cross_rank": 32, "batch": 1024}
OURS = RankerConfig(
    embedding_size=SIZES["embedding"],
    numeric_size=1,
    numeric_bins=1,
    cross_layers=SIZES["cross_layers"],
    cross_rank=SIZES["cross_rank"],
    num_experts=1,
    expert_sizes=SIZES["hidden"],
    dropout=0.0,
)
STEPS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = simulated_examples(World.draw(exposures=EXPOSURES, weeks=WEEKS, seed=0, click_log_odds=CLICK_LOG_ODDS))
    home = Home(FOLDER / f"throughput-{EXPOSURES}-home")
    examples, rates, sample = tables(table, home)
    figures = loading(examples, rates, sample, rounds=arguments.rounds)
    figures += half_precision(Examples.from_arrow(table, spec=SPEC, actions=ACTIONS))
    figures += beside_peers(table.slice(0, 300_000), rounds=arguments.rounds)
    report("throughput", figures)


def tables(table: pa.Table, home: Home) -> tuple[Pin, Pin, Pin]:
    """The examples in prefix order, the rates of RECIPE, and a table of what it keeps of them."""
    relations = ("marts.examples_v1", "marts.sampling_rates", "marts.training_examples")
    if not (home.warehouse / "marts.db" / "training_examples").exists():
        rows = len(table)
        acted, draws = table["acted"].to_numpy(), draw(np.arange(rows), salt="sampling", seed=0)
        day = pc.cast(table["served_at"], pa.date32())
        table = table.append_column("day", day).append_column("draw", pa.array(draws))
        table = table.append_column("user_slice", pa.repeat("train", rows))
        table = table.append_column("logging_probability", pa.repeat(1.0, rows))
        order = np.lexsort((draws, -acted, pc.cast(day, pa.int32()).to_numpy()))
        write(home, relations[0], table.take(order), partition_by=["day"])
        days = sorted(set(day.to_pylist()))
        write(home, relations[1], pa.Table.from_pylist([rate_of(one) for one in days]))
        pinned = [pin(relation, home=home) for relation in relations[:2]]
        kept = read_sample(pinned[0], recipe=RECIPE, rates=pinned[1])
        write(home, relations[2], kept, partition_by=["day"])
    examples, rates, sample = (pin(relation, home=home) for relation in relations)
    return examples, rates, sample


def write(home: Home, relation: str, rows: pa.Table, **options: Any) -> None:
    schema, name = relation.split(".")
    path = home.warehouse / f"{schema}.db" / name
    path.mkdir(parents=True, exist_ok=True)
    properties = WriterProperties(max_row_group_size=20_000, data_page_row_count_limit=20_000)
    write_deltalake(path, rows, writer_properties=properties, **options)


def rate_of(day: date) -> dict[str, Any]:
    return {
        "day": day,
        "recipe": RECIPE.name,
        "stratum": "otherwise",
        "sampling_keep": RECIPE.otherwise,
        "definition": RECIPE.definition,
    }


@contextmanager
def counted(into: list[float]) -> Iterator[None]:
    """Add this process's CPU-seconds, of all its threads."""
    started = time.process_time()
    yield
    into.append(time.process_time() - started)


def loading(examples: Pin, rates: Pin, sample: Pin, *, rounds: int) -> list[Figure]:
    """The whole way from Delta to a model against batches that lie ready, and the parts of it that may be left out."""
    wanted = list(SPEC.columns())

    def sampled() -> pa.RecordBatchReader:
        return open_sample(examples, recipe=RECIPE, rates=rates, columns=wanted)

    def chunks(reader: pa.RecordBatchReader) -> Iterator[Examples]:
        return Examples.chunks(reader, spec=SPEC, actions=ACTIONS)

    whole = list(chunks(sampled()))
    teacher = logged_scores(whole)
    fit(whole[0], spec=SPEC, seed=0)  # imports
    seconds: dict[str, list[float]] = {name: [] for name in ("end to end", "ready", "sampled", "sample", "teacher")}
    for number in range(rounds):
        with counted(seconds["end to end"]):
            fitted = fit(chunks(sampled()), spec=SPEC, seed=number)
        rows = TrainingRows(whole)
        model = fresh(rows, spec=SPEC, config=RankerConfig())
        meet(model, rows)
        model.hide(user=0.1, item=0.1, features=TrainingConfig().hidden_features)
        ready = cut(rows.part(0), rows.num_steps(TrainingConfig().rows_in_batch(len(rows))))
        with counted(seconds["ready"]):
            train_on_ready(model, rows, ready)
        with counted(seconds["sampled"]):
            sampled().read_all()
        with counted(seconds["sample"]):
            open_dataset(sample).to_table(columns=wanted)
        with counted(seconds["teacher"]):
            for chunk in whole:
                teacher(chunk)
        last = {name: round(found[-1], 2) for name, found in seconds.items()}
        print(f"round {number}: CPU-seconds {last}", flush=True)
    cpu = {name: median(found) for name, found in seconds.items()}
    num_seen = TrainingConfig().epochs * sum(map(len, whole))
    assert fitted.curve
    return [
        Figure(
            figure="examples a CPU-second end to end, baseline tensors that lie ready",
            ours=num_seen / cpu["end to end"],
            baseline=num_seen / cpu["ready"],
            goal="≥ .95 ×",
            holds=cpu["ready"] / cpu["end to end"] >= 0.95,
        ),
        part_of("sampling while reading", cpu["sampled"] - cpu["sample"], cpu["end to end"]),
        part_of("logged scores of the teacher", cpu["teacher"], cpu["end to end"]),
    ]


def part_of(what: str, seconds: float, whole: float) -> Figure:
    return Figure(
        figure=f"CPU-seconds of {what}, baseline end to end",
        ours=seconds,
        baseline=whole,
        goal="≤ .03 ×",
        holds=seconds / whole <= 0.03,
    )


def logged_scores(chunks: list[Examples]) -> Callable[[Examples], torch.Tensor]:
    """What ops.teacher_scores would hold of the rows."""
    heads = head_names(ACTIONS)
    events = pa.chunked_array([chunk.event_ids for chunk in chunks])
    logits = np.random.default_rng(0).normal(-3, 1, (len(events), len(heads)))
    entries = [list(zip(heads, one, strict=True)) for one in logits.tolist()]
    maps = pa.chunked_array([pa.array(entries, pa.map_(pa.string(), pa.float64()))])
    return LoggedLogits(events, logits_of(maps, heads=heads))


def train_on_ready(model: Ranker, rows: TrainingRows, ready: list[tuple[Rows, int]]) -> None:
    """As many batches as `fit` takes of the same rows, cut in the order in which they lie before the clock starts; the
    same loss and optimiser, and the level in the end."""
    with patch.object(rows, "batches", lambda **_: iter(ready)), reproducible(seed=0, num_threads=1):
        train(
            model,
            rows,
            training=TrainingConfig(),
            seed=0,
            alpha=0.5,
            last_alpha=None,
            moments=None,
            validation=None,
            checkpoint=None,
            on_progress=None,
        )


def cut(rows: Rows, num_batches: int) -> list[tuple[Rows, int]]:
    """Batches of rows in the order in which they lie."""
    batches = [rows.take(index_B) for index_B in torch.arange(len(rows)).tensor_split(num_batches)]
    return [(batch, len(batch)) for batch in batches]


def half_precision(examples: Examples) -> list[Figure]:
    """bfloat16 beside float32 at the sizes of `OURS`: speed, and AUC of clicks on a fifth of the requests."""
    if "avx512_bf16" not in Path("/proc/cpuinfo").read_text():
        print("this processor has no bfloat16: nothing to measure")
        return []
    judges_B = draw(examples.request_codes, salt="judge", seed=0) < 0.2
    earlier, judged = examples[~judges_B], examples[judges_B]
    found = {}
    for bf16 in (False, True):
        training = TrainingConfig(epochs=1, bf16=bf16)
        runs = [fit(earlier, spec=SPEC, seed=seed, config=OURS, training=training) for seed in range(3)]
        scores = [score(run.model, judged, position="shown").probability("click") for run in runs]
        found[bf16] = float(np.mean([auc(judged.label("click"), one) for one in scores]))
        print(f"bf16 {bf16}: AUC {found[bf16]:.5f}", flush=True)
    figure = Figure(
        figure="AUC of clicks in bf16, baseline fp32, 3 seeds",
        ours=found[True],
        baseline=found[False],
        goal="within .0003",
        holds=abs(found[True] - found[False]) <= 0.0003,
    )
    return [figure]


def beside_peers(table: pa.Table, *, rounds: int) -> list[Figure]:
    """Training steps of equal size, in turns: ours in both precisions, and each peer in its own environment."""
    examples = Examples.from_arrow(table, spec=ONE_ACTION, actions=("click",))
    folder = FOLDER / "throughput-rows"
    write_for_peers(table, folder)
    fp32, bf16 = (steps_of_ours(examples, bf16=bf16) for bf16 in (False, True))
    seconds = defaultdict(list)
    for number in range(rounds):
        seconds["ours, fp32"].append(fp32())
        seconds["ours, bf16"].append(bf16())
        for name in DEEP_PEERS:
            script, requirements, without = PEERS[name]
            python = peer_python(name, requirements=(*requirements, *COMMON), without=without)
            arguments = [folder, script.removesuffix(".py"), json.dumps({**SIZES, "steps": STEPS, "rounds": 1})]
            command = [str(python), str(Path(__file__).parent / "peers" / "speed.py"), *map(str, arguments)]
            ran = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds[name] += json.loads(ran.stdout.splitlines()[-1])
        last = {name: round(found[-1], 2) for name, found in seconds.items()}
        print(f"round {number}: CPU-seconds for {STEPS} steps of {SIZES['batch']:,} rows {last}", flush=True)
    pace = {name: STEPS * SIZES["batch"] / median(found) for name, found in seconds.items()}
    fastest = max(DEEP_PEERS, key=lambda name: pace[name])
    goals = [("ours, bf16", fastest, 2.5), ("ours, fp32", fastest, 1.25), ("ours, bf16", "ours, fp32", 1.8)]
    return [
        Figure(
            figure=f"examples a CPU-second: {ours}, baseline {baseline}",
            ours=pace[ours],
            baseline=pace[baseline],
            goal=f"≥ {goal} ×",
            holds=pace[ours] >= goal * pace[baseline],
        )
        for ours, baseline, goal in goals
    ]


def steps_of_ours(examples: Examples, *, bf16: bool) -> Callable[[], float]:
    """CPU-seconds of STEPS of our own training steps, each time it is called."""
    rows = TrainingRows([examples])
    with reproducible(seed=0, num_threads=1):
        model = fresh(rows, spec=ONE_ACTION, config=OURS)
        meet(model, rows)
    objective = Objective(model, alpha=0.5, bf16=bf16).train()
    optimizer = optimizer_of(model, TrainingConfig())

    def steps() -> float:
        batches = islice(rows.batches(batch_size=SIZES["batch"], seed=0, epoch=0), STEPS)
        started = time.process_time()
        for batch, _ in batches:
            loss = objective(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return time.process_time() - started

    steps()
    return steps


def write_for_peers(table: pa.Table, folder: Path) -> None:
    """The rows as peers/rows.py reads them, without the features' vocabularies of one value."""
    columns = {feature.name: table[feature.name] for feature in ONE_ACTION.features}
    roles = {
        "numeric": [feature.name for feature in SPEC.numeric],
        "categorical": [feature.name for feature in SPEC.categorical],
        "sequences": {feature.name: feature.of for feature in SPEC.sequences},
        "ids": [SPEC.user, SPEC.item],
        "middle": table.num_rows,
        "last": table.num_rows,
    }
    words = {name: columns[name].cast(pa.string()) for name in roles["categorical"]}
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({**columns, **words, "(label)": table["click"]}), folder / "rows.parquet")
    (folder / "columns.json").write_text(json.dumps(roles))


if __name__ == "__main__":
    main()
