#!/usr/bin/env python3
"""Writes a Llama-shaped model as a Hugging Face directory: config.json and bfloat16 safetensors of random weights.

    make_model.py 1b|8b DIRECTORY

The shapes are those of Llama-3.2-1B and Llama-3.1-8B; the weights are one block of gaussian numbers, repeated, since
speed does not depend on their values.  No module beyond Python's own is needed.
"""

import argparse
import array
import json
import random
import struct
import sys
from pathlib import Path

SHAPES = {
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "tie_word_embeddings": True,
        "factor": 32.0,
    },
    "8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": False,
        "factor": 8.0,
    },
}
BLOCK_ELEMS = (1 << 19) - 1  # odd, so that rows differ from each other
SHARD_BYTES = 5_000_000_000  # as Hugging Face cuts them


def config(shape):
    scaling = {"rope_type": "llama3", "factor": shape["factor"], "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **{k: v for k, v in shape.items() if k != "factor"},
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "rope_scaling": {**scaling, "original_max_position_embeddings": 8192},
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 128000,
        "eos_token_id": 128001,
        "torch_dtype": "bfloat16",
    }


def tensors(c):
    """(name, dims) in the order of the file."""
    hidden, head = c["hidden_size"], c["head_dim"]
    queries, keys = c["num_attention_heads"] * head, c["num_key_value_heads"] * head
    yield "model.embed_tokens.weight", [c["vocab_size"], hidden]
    for i in range(c["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        yield layer + "input_layernorm.weight", [hidden]
        yield layer + "self_attn.q_proj.weight", [queries, hidden]
        yield layer + "self_attn.k_proj.weight", [keys, hidden]
        yield layer + "self_attn.v_proj.weight", [keys, hidden]
        yield layer + "self_attn.o_proj.weight", [hidden, queries]
        yield layer + "post_attention_layernorm.weight", [hidden]
        yield layer + "mlp.gate_proj.weight", [c["intermediate_size"], hidden]
        yield layer + "mlp.up_proj.weight", [c["intermediate_size"], hidden]
        yield layer + "mlp.down_proj.weight", [hidden, c["intermediate_size"]]
    yield "model.norm.weight", [hidden]
    if not c["tie_word_embeddings"]:
        yield "lm_head.weight", [c["vocab_size"], hidden]


def bfloat16(values):
    """Little-endian, rounded towards zero."""
    floats = array.array("f", values).tobytes()
    assert sys.byteorder == "little"
    out = bytearray(len(floats) // 2)
    out[0::2], out[1::2] = floats[2::4], floats[3::4]
    return bytes(out)


def write_file(path, named, block):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, dims, n_bytes in named:
        header[name] = {"dtype": "BF16", "shape": dims, "data_offsets": [offset, offset + n_bytes]}
        offset += n_bytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, dims, n_bytes in named:
            data = bfloat16([1.0]) * dims[0] if len(dims) == 1 else block
            while n_bytes > 0:
                n_bytes -= f.write(memoryview(data)[:n_bytes])


def shards(named):
    shard, n = [], 0
    for name, dims in named:
        n_bytes = 2 * dims[0] * (dims[1] if len(dims) == 2 else 1)
        if n + n_bytes > SHARD_BYTES:
            yield shard
            shard, n = [], 0
        shard.append((name, dims, n_bytes))
        n += n_bytes
    yield shard


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--layers", type=int, help="another number of layers")
    args = parser.parse_args()
    shape = dict(SHAPES[args.shape])
    if args.layers:
        shape["num_hidden_layers"] = args.layers
    c = config(shape)
    args.directory.mkdir(parents=True, exist_ok=True)
    (args.directory / "config.json").write_text(json.dumps(c, indent=1) + "\n")

    draw = random.Random(1)
    block = bfloat16(draw.gauss(0, 0.02) for _ in range(BLOCK_ELEMS))
    files = list(shards(tensors(c)))
    if len(files) == 1:
        write_file(args.directory / "model.safetensors", files[0], block)
        return
    where = {}
    for i, named in enumerate(files):
        name = f"model-{i + 1:05}-of-{len(files):05}.safetensors"
        write_file(args.directory / name, named, block)
        where |= {tensor: name for tensor, _, _ in named}
    total = sum(n for named in files for _, _, n in named)
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (args.directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
