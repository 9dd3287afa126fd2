"""Writes files/: what the safetensors and gguf packages make, for the C readers to read.

Run by hand: pip install torch safetensors numpy gguf; python make_fixtures.py"""
import json
import os

import torch
from safetensors.torch import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "files")


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


if __name__ == "__main__":
    os.makedirs(HERE, exist_ok=True)
    os.umask(0o022)
    make_safetensors()
    make_sharded()
