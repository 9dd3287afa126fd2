"""Engines for a GPU on a machine without one: built, inspected, refitted, and run on its CPU instead."""

import ctypes
import json

import pytest

import harness
from harness import build, family, read_tensors, refused, trireme


def has_driver():
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


without_gpu = pytest.mark.skipif(has_driver(), reason="there is a GPU, which would be used")

TARGET = ("--target", "cuda:sm_90a")


def run_ids(engine, cache):
    result = trireme("run", engine, "--prompt", "5 6 7", "--raw", "--json", "--max_tokens", 12, "--temperature", 0,
                     cache=cache)
    return json.loads(result.out.splitlines()[-1])["output_ids"], result.err


def test_code_is_in_it(scratch):
    """Machine code of every kernel, or where there is no compiler a warning and none; never with --strip_code."""
    engine = scratch / "e"
    build(family("llama_tied"), engine, *TARGET)
    names = read_tensors(engine / "rank0.engine").keys()
    code = [n for n in names if n.startswith("code.")]
    listing = trireme("inspect", engine).out
    assert "cuda sm_90a" in listing
    plan = trireme("inspect", engine, "--plan").out
    launches = [line for line in plan.splitlines() if "transformer.layers.0 " in line]
    assert launches and all("avx" not in line and "panel16" not in line for line in launches)
    assert any("linear_stream" in line for line in launches)
    if code:
        assert any(n.startswith("code.linear_stream-") for n in code)
        for name, tensor in read_tensors(engine / "rank0.engine").items():
            if name in code:
                assert tensor.bits.tobytes()[:4] == b"\x7fELF", name
    bare = build(family("llama_tied"), scratch / "bare", *TARGET, "--strip_code")
    assert not [n for n in read_tensors(bare / "rank0.engine") if n.startswith("code.")]


@without_gpu
def test_runs_on_the_cpu_instead(scratch):
    """Packed again for the CPU, said once, and what it answers is what an engine for the CPU does."""
    cache = scratch / "cache"
    gpu = build(harness.SMOLLM2, scratch / "gpu", *TARGET, "--strip_code", "--max_seq_len", 256)
    cpu = build(harness.SMOLLM2, scratch / "cpu", "--dtype", "bfloat16", "--max_seq_len", 256)
    first, said = run_ids(gpu, cache)
    assert "built for sm_90a, packed again for" in said
    assert first == run_ids(cpu, cache)[0]
    assert first == run_ids(gpu, cache)[0]


def test_refit(scratch):
    """Weights of a GPU's engine are rows: refitted, they are those of an engine built from them."""
    a = build(family("llama_tied"), scratch / "a", *TARGET, "--strip_code", "--strip_plan")
    trireme("refit", "--engine_dir", a, "--checkpoint_dir", family("llama_tied"), "--output_dir", scratch / "b")
    b = build(family("llama_tied"), scratch / "c", *TARGET, "--strip_code")
    x, y = read_tensors(scratch / "b" / "rank0.engine"), read_tensors(b / "rank0.engine")
    weights = [n for n in y if n.split(".")[0] not in ("checksums", "plan", "graph", "canonical_graph", "pad", "code")]
    assert weights
    for name in weights:
        assert x[name].same(y[name]), name


@pytest.mark.parametrize("target, said", [
    ("cuda:sm_70", "sm_80 and later"), ("cuda:hopper", "sm_80 and later"), ("cuda:", "sm_80 and later"),
    ("gpu", "cpu, cuda, cuda:ARCH")])
def test_targets_refused(target, said, scratch):
    assert said in refused("build", "--model_dir", family("llama_tied"), "--output_dir", scratch / "e", "--target", target)


@without_gpu
def test_no_gpu_to_build_for(scratch):
    assert "name the architecture" in refused("build", "--model_dir", family("llama_tied"), "--output_dir", scratch / "e", "--target", "cuda")


def test_cpu_isa_of_a_gpu(scratch):
    assert "the target is cuda:sm_90a" in refused("build", "--model_dir", family("llama_tied"), "--output_dir", scratch / "e", *TARGET, "--cpu_isa", "avx2")
