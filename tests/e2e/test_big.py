"""What commands hold of their own does not grow with the model: weights are mapped and streamed.

The limit is the system's (prlimit --data: heap, stacks and private writable mappings, not mapped files), so that no
moment is missed, however short.  test_engine.py holds building SmolLM2 in float32 to the same."""

import json
import shutil
import struct

import numpy as np
import pytest

import harness
from harness import trireme

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 6,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
WEIGHT_BYTES = 313_000_000  # of which a tenth may be held
LIMIT_BYTES = 32 << 20
# Running also needs activations of 512 tokens, logits of 32 rows and the cache: 60 MB here.
RUN_LIMIT_BYTES = 96 << 20


def limited(limit_bytes, *args, code=0):
    """trireme with at most so much private memory."""
    harness.execute("prlimit", f"--data={limit_bytes}", harness.TRIREME, *args, code=code, timeout=300)


def tensors():
    """(file, name, shape): two files, the embedding in one of its own."""
    hidden, keys = CONFIG["hidden_size"], CONFIG["num_key_value_heads"] * 64
    yield 0, "model.embed_tokens.weight", [CONFIG["vocab_size"], hidden]
    for i in range(CONFIG["num_hidden_layers"]):
        for name, shape in (
            ("input_layernorm", [hidden]),
            ("self_attn.q_proj", [hidden, hidden]),
            ("self_attn.k_proj", [keys, hidden]),
            ("self_attn.v_proj", [keys, hidden]),
            ("self_attn.o_proj", [hidden, hidden]),
            ("post_attention_layernorm", [hidden]),
            ("mlp.gate_proj", [CONFIG["intermediate_size"], hidden]),
            ("mlp.up_proj", [CONFIG["intermediate_size"], hidden]),
            ("mlp.down_proj", [hidden, CONFIG["intermediate_size"]]),
        ):
            yield 1, f"model.layers.{i}.{name}.weight", shape
    yield 1, "model.norm.weight", [hidden]
    yield 1, "lm_head.weight", [CONFIG["vocab_size"], hidden]


def write_file(path, named, values):
    header, offset = {}, 0
    for name, shape in named:
        n_bytes = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + n_bytes]}
        offset += n_bytes
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, shape in named:
            f.write(np.resize(values, int(np.prod(shape))).tobytes())


@pytest.fixture(scope="module")
def model():
    """A HF directory in two files; the values do not matter."""
    path = harness.SCRATCH / "big" / "hf"
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(CONFIG))
    values = harness.to_bfloat16(np.random.default_rng(1).normal(0, 0.02, 999_983)).bits
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for i, name in enumerate(names):
        write_file(path / name, [(n, s) for file, n, s in tensors() if file == i], values)
    index = {"metadata": {}, "weight_map": {n: names[file] for file, n, _ in tensors()}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert sum((path / name).stat().st_size for name in names) > WEIGHT_BYTES
    yield path
    shutil.rmtree(path.parent)


@pytest.fixture(scope="module")
def engine(model):
    path = model.parent / "engine"
    limited(LIMIT_BYTES, "build", "--model_dir", model, "--output_dir", path, "--threads", 2)
    return path


def rank_bytes(directory):
    return (directory / "rank0.engine").read_bytes()


def test_convert_then_build(model, engine, scratch):
    """And through a checkpoint comes the same engine."""
    limited(LIMIT_BYTES, "convert", "--model_dir", model, "--output_dir", scratch / "c")
    arguments = ["--checkpoint_dir", scratch / "c", "--output_dir", scratch / "e", "--threads", 2]
    limited(LIMIT_BYTES, "build", *arguments)
    assert rank_bytes(scratch / "e") == rank_bytes(engine)


def test_refit(model, engine, scratch):
    trireme("build", "--model_dir", model, "--output_dir", scratch / "plan", "--strip_plan", "--threads", 2)
    arguments = ["--engine_dir", scratch / "plan", "--checkpoint_dir", model, "--output_dir", scratch / "e"]
    limited(LIMIT_BYTES, "refit", *arguments)
    assert rank_bytes(scratch / "e") == rank_bytes(engine)


def test_weights_are_not_copied_to_run(engine):
    limited(RUN_LIMIT_BYTES, "bench", engine, "--input_len", 8, "--output_len", 2, "--repeat", 1, "--threads", 2)


def test_inspect(engine):
    limited(LIMIT_BYTES, "inspect", engine, "--verify")


def test_the_limit_bites(engine, scratch):
    """Less than running takes: an error that says so, no crash."""
    arguments = ["--input_len", 8, "--output_len", 2, "--threads", 2]
    limited(LIMIT_BYTES // 2, "bench", engine, *arguments, code=1)
