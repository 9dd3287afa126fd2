"""Engines as files: what is in them, where it comes from, what happens when they are damaged, and that
they appear whole or not at all."""

import json
import random
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import safetensors

import harness
from harness import SMOLLM2, TRIREME, build, family, logits, read_tensors, refused, trireme

# Families with a shape of their own: tied embedding, biases, fused projections, norms plus one.
KINDS = ["llama_tied", "llama_bias", "phi3", "gemma3", "qwen3_bias"]
SEQUENCES = [[5, 6, 7, 8, 9], [1, 2, 3]]


def own_name(name):
    """Whether an entry is the engine's own: no weight."""
    names = {"checksums", "plan", "graph", "canonical_graph"}
    return name in names or re.match(r"(pad|plugin)\.\w+$", name) is not None


def weights(engine, rank=0):
    tensors = read_tensors(engine / f"rank{rank}.engine")
    return {name: t for name, t in tensors.items() if not own_name(name)}


def assert_same_weights(a, b, n_ranks=1):
    for rank in range(n_ranks):
        x, y = weights(a, rank), weights(b, rank)
        assert x and x.keys() == y.keys()
        for name in x:
            assert x[name].same(y[name]), name


def assert_whole(engine):
    trireme("inspect", engine, "--verify")


def entries(directory):
    return sorted(p.name for p in directory.iterdir())


# ---- what is in it ----


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_engine_is_a_safetensors_file(dtype, scratch):
    """The package reads it, checks that it has no holes, and finds weights, plan and graph as text."""
    engine = build(family("llama_bias"), scratch / "e", "--dtype", dtype)
    assert entries(engine)[:2] == ["config.json", "generation_config.json"]
    path = engine / "rank0.engine"
    with safetensors.safe_open(path, "np") as f:
        names, metadata = list(f.keys()), f.metadata()
        shapes = {name: f.get_slice(name).get_shape() for name in names}
    assert {"checksums", "plan", "graph", "canonical_graph"} <= set(names)
    listed = {t["name"]: t for t in json.loads(metadata["trireme.tensors"])}
    tensors = read_tensors(path)
    assert set(weights(engine)) == set(listed)
    assert tensors["graph"].bits.tobytes().decode() and tensors["plan"].bits.tobytes().decode()
    header_bytes = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + header_bytes])
    for name in listed:
        start, end = (8 + header_bytes + o for o in header[name]["data_offsets"])
        assert start % (4096 if end - start >= 4096 else 64) == 0, name
    # no second copy: the file is the weights and a little more
    stored = sum(np.prod(shapes[n]) * tensors[n].bits.itemsize for n in listed)
    model = sum(t.bits.size for t in harness.read_model(family("llama_bias")).values())
    assert stored < 1.1 * model * (4 if dtype == "float32" else 2)


def test_config_says_everything(scratch):
    engine = build(
        family("llama_tied"),
        scratch / "e",
        "--max_batch_size",
        3,
        "--max_num_tokens",
        77,
        "--max_seq_len",
        99,
        "--dtype",
        "float32",
    )
    config = json.loads((engine / "config.json").read_text())
    assert config["pretrained_config"]["architecture"] == "LlamaForCausalLM"
    assert config["pretrained_config"]["hidden_size"] == 96
    limits = {k: config["build_config"][k] for k in ("max_batch_size", "max_num_tokens", "max_seq_len")}
    assert limits == {"max_batch_size": 3, "max_num_tokens": 77, "max_seq_len": 99}
    assert config["version"]


# ---- where it comes from ----


@pytest.mark.parametrize("name", KINDS)
def test_checkpoint_and_model_build_the_same(name, scratch):
    trireme("convert", "--model_dir", family(name), "--output_dir", scratch / "c")
    trireme("build", "--checkpoint_dir", scratch / "c", "--output_dir", scratch / "a")
    build(family(name), scratch / "b")
    assert_same_weights(scratch / "a", scratch / "b")


@pytest.mark.parametrize("tp, pp", [(2, 1), (1, 2), (4, 2)])
def test_checkpoint_of_ranks_builds_the_same(tp, pp, scratch):
    ranks = ["--tp_size", tp, "--pp_size", pp]
    model = harness.make_llama(scratch / "hf")
    trireme("convert", "--model_dir", model, "--output_dir", scratch / "c", *ranks)
    trireme("build", "--checkpoint_dir", scratch / "c", "--output_dir", scratch / "a")
    build(model, scratch / "b", *ranks)
    assert_same_weights(scratch / "a", scratch / "b", tp * pp)


def test_gguf_checkpoint_builds_the_same(auto_engine, scratch):
    trireme("convert", "--model_dir", SMOLLM2, "--output_dir", scratch / "c")
    trireme("build", "--checkpoint_dir", scratch / "c", "--output_dir", scratch / "a")
    assert_same_weights(scratch / "a", auto_engine)


def test_building_twice_gives_the_same_bytes(scratch):
    """Whatever the number of threads."""
    a = build(family("qwen2"), scratch / "a", "--threads", 1)
    b = build(family("qwen2"), scratch / "b", "--threads", 2)
    assert (a / "rank0.engine").read_bytes() == (b / "rank0.engine").read_bytes()


# ---- tensor and pipeline parallel ----


@pytest.mark.parametrize("tp, pp", [(2, 1), (4, 1), (1, 2), (2, 2), (8, 1)])
def test_ranks_give_the_tokens_of_one(tp, pp, scratch):
    """Sums of several ranks round differently in float32: by less than 1e-5 of the logits' spread,
    far less than what separates the two best of a random model nearly always.  The tokens are given
    leave to differ only where the logits say so."""
    model = harness.make_llama(scratch / "hf")
    one = build(model, scratch / "one", "--dtype", "float32")
    ranks = ["--tp_size", tp, "--pp_size", pp]
    many = build(model, scratch / "many", "--dtype", "float32", *ranks)
    x = logits(one, SEQUENCES, scratch, generate=12)
    y = logits(many, SEQUENCES, scratch, generate=12)
    for a, b in zip(x, y, strict=True):
        error = np.abs(a["logits"] - b["logits"]).max() / a["logits"].std()
        assert error < 1e-5
    continued = [s + o["tokens"] for s, o in zip(SEQUENCES, x)]
    after = logits(one, continued, scratch)
    for sequence, a, b, c in zip(SEQUENCES, x, y, after, strict=True):
        for step, (token, other) in enumerate(zip(a["tokens"], b["tokens"])):
            if token != other:
                second, best = np.sort(c["logits"][len(sequence) - 1 + step])[-2:]
                assert best - second < 1e-3, step
                break


# ---- refit ----


@pytest.mark.parametrize("name", KINDS)
def test_refit_is_a_build_from_those_weights(name, scratch):
    other = harness.perturbed(name, scratch / "other")
    engine = build(family(name), scratch / "e")
    wanted = build(other, scratch / "wanted")
    trireme("refit", "--engine_dir", engine, "--model_dir", other, "--output_dir", scratch / "r")
    assert_same_weights(scratch / "r", wanted)
    assert_same_weights(engine, build(family(name), scratch / "untouched"))
    x = logits(scratch / "r", SEQUENCES, scratch)
    y = logits(wanted, SEQUENCES, scratch)
    assert all(a["logits"].tobytes() == b["logits"].tobytes() for a, b in zip(x, y))
    z = logits(engine, SEQUENCES, scratch)
    assert not np.array_equal(y[0]["logits"], z[0]["logits"])


def test_refit_in_place_from_a_checkpoint_of_ranks(scratch):
    model = harness.make_llama(scratch / "hf")
    other = harness.make_llama(scratch / "other")
    tensors = read_tensors(other / "model.safetensors")
    for name, t in tensors.items():
        tensors[name] = t.map(lambda b: b[::-1])
    harness.write_tensors(other / "model.safetensors", tensors)
    ranks = ["--tp_size", 2, "--pp_size", 2]
    engine, wanted = build(model, scratch / "e", *ranks), build(other, scratch / "w", *ranks)
    trireme("convert", "--model_dir", other, "--output_dir", scratch / "c", *ranks)
    before = entries(engine)
    trireme("refit", "--engine_dir", engine, "--checkpoint_dir", scratch / "c")
    assert_same_weights(engine, wanted, 4)
    assert_whole(engine)
    assert entries(engine) == before
    assert entries(scratch) == ["c", "e", "hf", "other", "w"]


def test_strip_and_refit(scratch):
    whole = build(family("llama_tied"), scratch / "whole")
    stripped = build(family("llama_tied"), scratch / "stripped", "--strip_plan")
    assert weights(stripped) == {}
    assert (stripped / "rank0.engine").stat().st_size < (whole / "rank0.engine").stat().st_size / 4
    result = harness.execute(harness.TRIREME, "bench", stripped, "--input_len", 4, code=1)
    assert "refit" in result.err  # the way out
    trireme("refit", "--engine_dir", stripped, "--model_dir", family("llama_tied"))
    assert_same_weights(stripped, whole)
    x, y = logits(stripped, SEQUENCES, scratch), logits(whole, SEQUENCES, scratch)
    assert all(a["logits"].tobytes() == b["logits"].tobytes() for a, b in zip(x, y))


def test_strip_and_refit_gguf(auto_engine, scratch):
    stripped = build(SMOLLM2, scratch / "s", "--strip_plan")
    assert (stripped / "rank0.engine").stat().st_size < 4 << 20
    trireme("refit", "--engine_dir", stripped, "--model_dir", SMOLLM2)
    assert_same_weights(stripped, auto_engine)


def test_refit_from_another_model_is_refused(scratch):
    engine = build(family("llama_tied"), scratch / "e")
    before = (engine / "rank0.engine").read_bytes()
    for other in "llama_rope_llama3", "qwen2", "gemma2":
        message = refused("refit", "--engine_dir", engine, "--model_dir", family(other))
        assert message
    assert (engine / "rank0.engine").read_bytes() == before
    assert entries(scratch) == ["e"]


# ---- damage ----


@pytest.fixture(scope="module")
def small_engine():
    path = harness.SCRATCH / "small-engine"
    return build(family("llama_tied"), path, "--dtype", "bfloat16")


def damaged(engine, scratch, data, n):
    copy = scratch / f"damaged{n}"
    shutil.copytree(engine, copy)
    (copy / "rank0.engine").write_bytes(data)
    return copy


def refusal(path, *args):
    """The reason, from a process that ends with 1; crashes fail in harness.execute."""
    result = trireme("inspect", path, *args, code=None)
    assert result.code == 1, str(result)
    assert result.err.startswith("trireme inspect: ") and len(result.err.splitlines()) == 1
    assert "rank0.engine" in result.err
    return result.err


def test_truncated_engine_is_refused(small_engine, scratch):
    data = (small_engine / "rank0.engine").read_bytes()
    lengths = [0, 1, 7, 8, 9, 100, 4096, len(data) // 3, len(data) // 2, len(data) - 1]
    for n in lengths:
        copy = damaged(small_engine, scratch, data[:n], n)
        refusal(copy)
        result = harness.execute(TRIREME, "bench", copy, "--input_len", 4, code=1)
        assert result.err.startswith("trireme bench: ")


def test_engine_with_more_at_its_end_is_refused(small_engine, scratch):
    data = (small_engine / "rank0.engine").read_bytes()
    refusal(damaged(small_engine, scratch, data + bytes(64), 0))


def test_flipped_bits_are_found(small_engine, scratch):
    """Wherever a bit flips, a checksum or the format says so; 120 places, the header and what is
    loaded as text well represented."""
    data = (small_engine / "rank0.engine").read_bytes()
    header_end = 8 + int.from_bytes(data[:8], "little")
    pick = random.Random(5)
    places = list(range(8)) + [pick.randrange(8, header_end) for _ in range(32)]
    header = json.loads(data[8:header_end])
    header.pop("__metadata__")
    for name in "plan", "graph", "canonical_graph", "checksums":
        start, end = (header_end + o for o in header[name]["data_offsets"])
        places += [pick.randrange(start, end) for _ in range(10)]
    places += [pick.randrange(header_end, len(data)) for _ in range(40)]
    target = damaged(small_engine, scratch, data, 0) / "rank0.engine"
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1 << pick.randrange(8)
        target.write_bytes(flipped)
        refusal(target.parent, "--verify")
        in_weights = trireme("bench", target.parent, "--input_len", 4, code=None)
        assert in_weights.code in (0, 1), str(in_weights)
        if place < header_end:
            assert in_weights.code == 1, place


def test_damaged_config_is_refused(small_engine, scratch):
    copy = damaged(small_engine, scratch, (small_engine / "rank0.engine").read_bytes(), 0)
    text = (copy / "config.json").read_text()
    for broken in "", "{", text[: len(text) // 2], "[]", text.replace('"vocab_size"', '"vocab"'):
        (copy / "config.json").write_text(broken)
        result = trireme("bench", copy, "--input_len", 4, code=None)
        assert result.code in (0, 1), str(result)
        if broken in ("", "{", text[: len(text) // 2]):
            assert result.code == 1 and "config.json" in result.err, str(result)


def test_ranks_of_different_engines_are_refused(scratch):
    model = harness.make_llama(scratch / "hf")
    two = build(model, scratch / "two", "--tp_size", 2)
    one = build(model, scratch / "one")
    shutil.copy(one / "rank0.engine", two / "rank1.engine")
    result = trireme("bench", two, "--input_len", 4, code=1)
    assert "rank" in result.err
    (two / "rank1.engine").unlink()
    result = trireme("bench", two, "--input_len", 4, code=1)
    assert "rank1.engine" in result.err


# ---- inspect ----


def dot_is_balanced(text):
    assert text.startswith("digraph")
    bare = re.sub(r'"(\\.|[^"\\])*"', "", text)
    assert bare.count("{") == bare.count("}") > 0
    assert "->" in bare
    return True


def test_inspect_engine(small_engine):
    summary = trireme("inspect", small_engine).out
    for word in "weights", "LlamaForCausalLM", "plan":
        assert word in summary
    norm = [line.split() for line in summary.splitlines() if "layers.*.input_layernorm.weight" in line]
    layers = sum("input_layernorm.weight" in name for name in weights(small_engine))
    assert layers > 1 and [line[1:3] for line in norm] == [[str(layers), "x"]]
    full = trireme("inspect", small_engine, "--weights").out
    for name in weights(small_engine):
        assert name in full
    assert "attention" in trireme("inspect", small_engine, "--graph").out
    plan = trireme("inspect", small_engine, "--plan").out
    assert "linear" in plan and "attention" in plan
    dot_is_balanced(trireme("inspect", small_engine, "--dot").out)
    for flags in ["--json"], ["--json", "--weights"], ["--json", "--plan", "--weights"]:
        assert isinstance(json.loads(trireme("inspect", small_engine, *flags).out), dict)


def test_inspect_json_lists_every_weight(small_engine):
    text = trireme("inspect", small_engine, "--json", "--weights").out
    listed = json.loads(text)
    assert set(weights(small_engine)) <= set(names_in(listed))


def names_in(tree):
    if isinstance(tree, dict):
        if isinstance(tree.get("name"), str):
            yield tree["name"]
        for value in tree.values():
            yield from names_in(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from names_in(value)


@pytest.mark.parametrize("what", ["gguf", "safetensors", "engine file", "checkpoint", "hf"])
def test_inspect_other_files(what, small_engine, scratch):
    path, name = {
        "gguf": (harness.GOLDEN / "gguf" / "tiny_llama.gguf", "blk.0.attn_q.weight"),
        "safetensors": (family("phi3") / "model.safetensors", "model.layers.0.mlp.down_proj.weight"),
        "engine file": (small_engine / "rank0.engine", "mlp.proj"),
        "checkpoint": (scratch / "c", "transformer.layers.0.mlp.fc.weight"),
        "hf": (family("phi3"), "model.layers.0.mlp.down_proj.weight"),
    }[what]
    if what == "checkpoint":
        trireme("convert", "--model_dir", family("phi3"), "--output_dir", path)
    assert trireme("inspect", path).out
    assert name in trireme("inspect", path, "--weights").out
    json.loads(trireme("inspect", path, "--json", "--weights").out)


def test_inspect_refuses_what_it_does_not_know(scratch):
    (scratch / "notes.txt").write_text("hello")
    assert "notes.txt" in refused("inspect", scratch / "notes.txt")
    assert "nowhere" in refused("inspect", scratch / "nowhere")
    assert str(scratch) in refused("inspect", scratch)


# ---- whole or not at all ----


def started(*args, cache=None):
    return subprocess.Popen(
        [str(a) for a in (TRIREME, *args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=harness.environment(cache),
        cwd=harness.ROOT,
    )


def build_seconds(scratch):
    start = time.monotonic()
    build(SMOLLM2, scratch / "timed", "--dtype", "bfloat16")
    shutil.rmtree(scratch / "timed")
    return time.monotonic() - start


def test_killed_build_leaves_no_half_engine(scratch):
    """Killed at 12 moments spread over a build: there is no engine, or a whole one."""
    seconds = build_seconds(scratch)
    output = scratch / "e"
    killed = 0
    for n in range(12):
        shutil.rmtree(output, ignore_errors=True)
        p = started("build", "--model_dir", SMOLLM2, "--output_dir", output, "--dtype", "bfloat16")
        time.sleep(seconds * (n + 0.5) / 12)
        p.kill()
        p.communicate()
        killed += p.returncode == -signal.SIGKILL
        if output.exists():
            assert_whole(output)
    assert killed >= 6
    build(SMOLLM2, output, "--dtype", "bfloat16")
    assert_whole(output)


def test_killed_rebuild_leaves_an_engine(scratch):
    """Over an engine that is there: the old one or the new one, never neither."""
    seconds = build_seconds(scratch)
    output = build(SMOLLM2, scratch / "e")
    for n in range(6):
        p = started("build", "--model_dir", SMOLLM2, "--output_dir", output, "--dtype", "bfloat16")
        time.sleep(seconds * (n + 0.5) / 6)
        p.kill()
        p.communicate()
        assert_whole(output)


def test_failed_build_leaves_nothing(scratch):
    model = harness.copy_family("llama_tied", scratch / "hf")
    (model / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:-9])
    refused("build", "--model_dir", model, "--output_dir", scratch / "e")
    assert entries(scratch) == ["hf"]


@pytest.mark.parametrize("command", ["build", "convert"])
def test_memory_does_not_grow_with_the_model(command, scratch):
    """540 MB of float32 with 100 MB of private memory: files are mapped, weights pass through."""
    threads = ["--threads", 2] if command == "build" else []
    harness.execute(
        "prlimit",
        f"--data={100 << 20}",
        *[TRIREME, command, "--model_dir", SMOLLM2, "--output_dir", scratch / "out"],
        *["--dtype", "float32", *threads],
    )
    assert sum(p.stat().st_size for p in (scratch / "out").iterdir()) > 500 << 20


@pytest.mark.parametrize("command", ["build", "convert"])
def test_full_disk_leaves_nothing(command, scratch):
    """Stood in for by a limit on the size of files, at which writes fail alike."""
    script = f"trap '' XFSZ; ulimit -f 20000; exec {TRIREME} {command} --model_dir {SMOLLM2} "
    result = harness.execute("bash", "-c", script + f"--output_dir {scratch / 'out'}", code=1)
    assert "File too large" in result.err and "rank0" in result.err
    assert entries(scratch) == []


def test_two_runs_at_once_build_once(scratch):
    cache = scratch / "cache"
    arguments = ["run", SMOLLM2, "--raw", "--prompt", "Hello", "--max_tokens", 2, "--json"]
    both = [started(*arguments, cache=cache) for _ in range(2)]
    results = [p.communicate(timeout=120) for p in both]
    assert [p.returncode for p in both] == [0, 0], results
    assert sum(err.count("built ") for _, err in results) == 1, results
    answers = [json.loads(out.splitlines()[-1])["output_ids"] for out, _ in results]
    assert answers[0] == answers[1]
    assert len(list(cache.rglob("rank0.engine"))) == 1


def test_killed_first_run_does_not_block_the_next(scratch):
    cache = scratch / "cache"
    arguments = ["run", SMOLLM2, "--raw", "--prompt", "Hello", "--max_tokens", 2]
    p = started(*arguments, cache=cache)
    time.sleep(0.3)
    p.kill()
    p.communicate()
    trireme(*arguments, cache=cache, timeout=60)


@pytest.mark.parametrize("command", ["build", "refit"])
def test_output_that_is_not_an_engine_is_left_alone(command, small_engine, scratch):
    note = scratch / "home" / "thesis.txt"
    note.parent.mkdir()
    note.write_text("years of work")
    source = ["--engine_dir", small_engine] if command == "refit" else []
    message = refused(
        command, *source, "--model_dir", family("llama_tied"), "--output_dir", note.parent
    )
    assert "home" in message
    assert note.read_text() == "years of work"
    assert entries(scratch) == ["home"]


def test_output_that_is_the_model_is_left_alone(scratch):
    model = harness.copy_family("llama_tied", scratch / "hf")
    before = {p.name: p.read_bytes() for p in model.iterdir()}
    refused("build", "--model_dir", model, "--output_dir", model)
    assert {p.name: p.read_bytes() for p in model.iterdir()} == before


def test_an_empty_directory_is_taken(scratch):
    (scratch / "e").mkdir()
    assert_whole(build(family("llama_tied"), scratch / "e"))


def test_an_older_engine_is_replaced(scratch):
    build(harness.make_llama(scratch / "hf"), scratch / "e", "--tp_size", 4)
    build(family("llama_tied"), scratch / "e")
    assert [p.name for p in (scratch / "e").glob("rank*")] == ["rank0.engine"]
    assert entries(scratch) == ["e", "hf"]


# ---- refusals of a build ----


@pytest.mark.parametrize(
    "args, named",
    [
        (["--target", "cuda"], "cuda"),
        (["--dtype", "float8"], "float8"),
        (["--activation_dtype", "int4"], "int4"),
        (["--kv_cache_dtype", "int2"], "int2"),
        (["--cpu_isa", "sse9"], "sse9"),
        (["--plugin", "/nowhere/lib.so"], "/nowhere/lib.so"),
        (["--weight_only_precision", "int3"], "int3"),
    ],
)
def test_option_that_cannot_be(args, named, scratch):
    message = refused(
        "build", "--model_dir", family("llama_tied"), "--output_dir", scratch / "e", *args
    )
    assert named in message
    assert entries(scratch) == []


# ---- bench ----


def test_bench_counts_the_tokens_asked_for(auto_engine):
    """Sequences whose last block is half full: each has room to its end, and none is computed twice."""
    arguments = ["bench", auto_engine, "--input_len", 32, "--output_len", 8, "--batch", 4, "--repeat", 1]
    text = trireme(*arguments).out
    assert "for 128 tokens" in text and "computed again" not in text
    result = json.loads(trireme(*arguments, "--json").out)
    assert result["preemptions"] == 0
    assert all(isinstance(result[k], int) for k in ("batch", "input_len", "output_len", "weight_bytes"))


# ---- instruction sets ----


def test_instruction_sets_differ_by_roundings_of_attention_alone(auto_engine, scratch):
    """A sequence of one token attends to itself alone, with weight 1: nothing is summed in attention, and
    8-bit activations give the same bits.  In longer ones a rounding that turned over is as large as any
    other of its kind: the two instruction sets are no further from each other than sqrt(2) times what
    8-bit activations do to either (errors of equal size, independent at most; a half more for 31 tokens
    being a small sample)."""
    generic = build(SMOLLM2, scratch / "e", "--max_seq_len", 512, "--cpu_isa", "generic")
    exact = build(SMOLLM2, scratch / "f", "--max_seq_len", 512, "--activation_dtype", "float32")
    ones = [[1], [5], [100], [19556]]
    for a, b in zip(logits(auto_engine, ones, scratch), logits(generic, ones, scratch), strict=True):
        assert a["logits"].tobytes() == b["logits"].tobytes()
    sequence = [[1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411]]
    sequence[0] += [407, 19712, 8182, 2, 198, 1, 4093, 198, 6004, 2, 198, 1, 520, 9531, 198]
    x, y, z = (logits(e, sequence, scratch)[0]["logits"] for e in (auto_engine, generic, exact))
    error = [np.sqrt(np.mean((a - z) ** 2)) for a in (x, y)]
    assert np.sqrt(np.mean((x - y) ** 2)) < 1.5 * np.hypot(*error)
