"""Writes files/: what the safetensors package makes, for the C readers to read; and the corpora of
the fuzzers for safetensors, GGUF and configs, from these and the golden files.

Run by hand: pip install torch safetensors numpy gguf; python make_fixtures.py"""
import json
import os
import shutil

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

TESTS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = f"{TESTS}/unit/data/files"
CORPUS = f"{TESTS}/fuzz/corpus"


def make_safetensors():
    dtypes = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn,
              torch.float8_e5m2, torch.bool, torch.int8, torch.uint8, torch.int16, torch.uint16,
              torch.int32, torch.uint32, torch.int64, torch.uint64]
    tensors = {}
    for dtype in dtypes:
        last = -1 if dtype.is_signed else 2
        tensors[str(dtype).removeprefix("torch.")] = torch.tensor([[0, 1, last]]).to(dtype)
    tensors["scalar"] = torch.tensor(7, dtype=torch.int32)
    tensors["empty"] = torch.zeros(2, 0, 3)
    tensors["name \"quoted\" \u00e9\n"] = torch.tensor([5], dtype=torch.uint8)
    save_file(tensors, f"{HERE}/dtypes.safetensors", {"format": "pt", "title": "\u00e9 \"x\""})


def make_sharded():
    os.makedirs(f"{HERE}/sharded", exist_ok=True)
    a, b = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    save_file({"x": torch.tensor([1.0]), "both": torch.tensor([2.0])}, f"{HERE}/sharded/{a}")
    save_file({"y": torch.tensor([3.0, 4.0]), "both": torch.tensor([5.0])}, f"{HERE}/sharded/{b}")
    index = {"metadata": {"total_size": 16}, "weight_map": {"y": b, "x": a, "both": b}}
    with open(f"{HERE}/sharded/model.safetensors.index.json", "w") as f:
        json.dump(index, f, indent=2)


def write_model(arch, keys, tensors):
    w = gguf.GGUFWriter(f"{CORPUS}/gguf/{arch}.gguf", arch)
    for name, value in {"context_length": 64, "embedding_length": 8, "block_count": 3,
                        "feed_forward_length": 16, "attention.head_count": 2, **keys}.items():
        if isinstance(value, list):
            w.add_array(f"{arch}.{name}", value)
        elif isinstance(value, str):
            w.add_string(f"{arch}.{name}", value)
        elif isinstance(value, float):
            w.add_float32(f"{arch}.{name}", value)
        else:
            w.add_uint32(f"{arch}.{name}", value)
    w.add_float32(f"{arch}.attention.layer_norm_rms_epsilon", 1e-5)
    w.add_token_list(["a", "<|im_end|>"])
    w.add_token_types([1, 3])
    w.add_eos_token_id(1)
    w.add_tensor("token_embd.weight", np.zeros((2, 8), np.float32))
    for name, shape in tensors.items():
        w.add_tensor(name, np.ones(shape, np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def make_corpora():
    for name in ("safetensors", "gguf", "config"):
        os.makedirs(f"{CORPUS}/{name}", exist_ok=True)
    shutil.copy(f"{HERE}/dtypes.safetensors", f"{CORPUS}/safetensors/dtypes")
    shutil.copy(f"{HERE}/sharded/model-00002-of-00002.safetensors", f"{CORPUS}/safetensors/two")
    with open(f"{CORPUS}/safetensors/empty", "wb") as f:
        f.write(b"\2\0\0\0\0\0\0\0{}")
    shutil.copy(f"{TESTS}/golden/gguf/kinds.gguf", f"{CORPUS}/gguf/kinds.gguf")
    write_model("llama", {"attention.head_count_kv": 1, "rope.freq_base": 500000.0},
                {"rope_freqs.weight": (2,), "output.weight": (2, 8), "blk.0.attn_q.bias": (8,)})
    write_model("qwen2", {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0,
                          "rope.scaling.original_context_length": 16}, {})
    write_model("gemma2", {"attention.key_length": 16, "final_logit_softcapping": 20.0}, {})
    write_model("gemma3", {"attention.sliding_window": 8,
                           "attention.sliding_window_pattern": [True, False, True],
                           "rope.freq_base_swa": 1000.0}, {})
    write_model("phi3", {"rope.dimension_count": 4, "rope.scaling.original_context_length": 16,
                         "attention.sliding_window": 9},
                {"rope_factors_long.weight": (2,), "rope_factors_short.weight": (2,)})
    for family in ("llama_rope_llama3", "mistral", "qwen2", "qwen3_bias", "gemma2", "gemma3",
                   "phi3", "phi3_longrope"):
        with open(f"{TESTS}/golden/families/{family}/config.json") as f:
            text = json.dumps(json.load(f))
        with open(f"{CORPUS}/config/{family}", "w") as f:
            f.write("H" + text + ("\0{\"eos_token_id\":[1,2]}" if family == "mistral" else ""))
    base = {"architecture": "LlamaForCausalLM", "dtype": "bfloat16", "logits_dtype": "float32",
            "vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 4,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_size": 16,
            "hidden_act": "silu", "intermediate_size": 96, "norm_epsilon": 1e-5,
            "max_position_embeddings": 256, "position_embedding_type": "rope_gpt_neox",
            "rotary_base": 10000.0, "rotary_scaling": None,
            "mapping": {"world_size": 4, "tp_size": 2, "pp_size": 2},
            "quantization": {"quant_algo": "W4A16", "group_size": 64}}
    checkpoints = {
        "llama": {},
        "gguf": {"quantization": {"quant_algo": "GGUF", "gguf_types": {"a": "q4_0"}}},
        "gemma2": {"architecture": "Gemma2ForCausalLM", "query_pre_attn_scalar": 20,
                   "sliding_window": 8, "embedding_multiplier": 8.0,
                   "layer_types": ["sliding_attention", "full_attention"] * 2,
                   "attn_logit_softcapping": 5.0, "eos_token_id": [1, 2], "bos_token_id": 0},
        "phi3": {"architecture": "Phi3ForCausalLM", "position_embedding_type": "long_rope",
                 "rotary_pct": 0.25, "original_max_position_embeddings": 64,
                 "longrope_scaling_short_factors": [1, 1.5],
                 "longrope_scaling_long_factors": [2, 3.5]},
    }
    for name, more in checkpoints.items():
        with open(f"{CORPUS}/config/checkpoint_{name}", "w") as f:
            f.write("C" + json.dumps({**base, **more}))
    for family in ("gemma3", "phi3_longrope"):
        with open(f"{TESTS}/golden/families/{family}/config.v5.json") as f:
            text = json.dumps(json.load(f))
        with open(f"{CORPUS}/config/{family}_v5", "w") as f:
            f.write("H" + text)


if __name__ == "__main__":
    os.makedirs(HERE, exist_ok=True)
    os.umask(0o022)
    make_safetensors()
    make_sharded()
    make_corpora()
