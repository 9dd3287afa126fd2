"""Every family's small random model, as a float32 engine, against transformers: logits of the prompt
and greedy tokens, on one rank, two tensor-parallel ranks and two pipeline stages."""

import json

import numpy as np
import pytest

import harness
from harness import FAMILIES, Golden, family

N_GREEDY = 32


def golden_of(name):
    return Golden(family(name) / "expected.safetensors")


def check(engine, golden, which, scratch):
    outputs = harness.logits(
        engine, [golden.prompts()[i] for i in which], scratch, generate=N_GREEDY
    )
    for i, output in zip(which, outputs, strict=True):
        expected = golden.get(i, "logits")
        # float32 in another order of summation, as for SmolLM2; logits have a deviation of 3 or more
        error = np.abs(output["logits"] - expected).max() / expected.std()
        assert error < 1e-4, (i, error)
        # every margin is at least 0.02: no choice is free
        assert output["tokens"] == golden.get(i, "greedy")[:N_GREEDY].tolist(), i


def ranks_of(name):
    """(tp, pp): what the family's head and layer counts allow of two."""
    config = json.loads((family(name) / "config.json").read_text())
    yield 1, 1
    if config["num_attention_heads"] % 2 == 0 and config["intermediate_size"] % 2 == 0:
        yield 2, 1
    if config["num_hidden_layers"] % 2 == 0:
        yield 1, 2


CASES = [
    (name, tp, pp) for name in FAMILIES if name != "phi3_longrope" for tp, pp in ranks_of(name)
]


@pytest.mark.parametrize("name, tp, pp", CASES)
def test_float32_is_transformers(name, tp, pp, scratch):
    golden = golden_of(name)
    ranks = ["--tp_size", tp, "--pp_size", pp]
    engine = harness.build(family(name), scratch / "e", "--dtype", "float32", *ranks)
    assert len(list(engine.glob("rank*.engine"))) == tp * pp
    check(engine, golden, range(golden.n), scratch)


@pytest.mark.parametrize("max_seq_len, which", [(64, [0, 2]), (256, [1])])
def test_longrope_follows_max_seq_len(max_seq_len, which, scratch):
    """seq0 and seq2 stay within original_max_position_embeddings (64), seq1 starts above it: an
    engine rotates for the longest sequence it takes, transformers for the one at hand."""
    engine = harness.build(
        family("phi3_longrope"),
        scratch / "e",
        "--dtype",
        "float32",
        "--max_seq_len",
        max_seq_len,
    )
    check(engine, golden_of("phi3_longrope"), which, scratch)


@pytest.mark.parametrize("name", FAMILIES)
def test_newer_config_builds_the_same(name, scratch):
    """transformers 5 spells config.json differently: the weights and the graph are the same."""
    newer = harness.copy_family(name, scratch / "newer")
    (newer / "config.v5.json").replace(newer / "config.json")
    a = harness.build(family(name), scratch / "a")
    b = harness.build(newer, scratch / "b")
    x, y = (harness.read_tensors(e / "rank0.engine") for e in (a, b))
    assert x.keys() == y.keys()
    for key in x:
        assert key == "checksums" or x[key].same(y[key]), key
