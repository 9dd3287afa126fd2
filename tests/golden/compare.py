"""Holds dumped logits to transformers in float32, over whole vocabularies.

    compare.py MODEL LOGITS      logits that the program under test wrote
    compare.py MODEL             what rounding costs transformers itself, mode by mode

MODEL is a HF directory or a GGUF file of the golden vectors, or SmolLM2's GGUF file.  LOGITS is a
safetensors file with seqI.logits [T, V], for the first T tokens of sequence I's prompt and greedy
continuation.  For each mode: the largest error of a logit (in standard deviations of the logits at
that position), the mean and largest KL divergence from transformers (nats), and how often the best
token is the same.

Modes:
  bfloat16         operands of every linear layer, and embeddings, rounded; the rest in float32
  bfloat16, KV     keys and values rounded as well
  all bfloat16     transformers' own bfloat16
  int8 blocks      inputs of every linear layer in 8 bits, one scale for 32 elements; exact weights
  int8 rows        inputs of every linear layer in 8 bits, one scale for each token
"""

import argparse
import copy
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import DynamicCache

from oracle import GOLDEN, load_gguf, load_model, run_logits


def to_bfloat16(x):
    return x.bfloat16().float()


def to_int8(x, block):
    """Symmetric 8-bit quantisation and back; the last block may be shorter."""
    n = x.shape[-1]
    blocks = torch.nn.functional.pad(x, (0, -n % block)).unflatten(-1, (-1, block))
    scale = (blocks.abs().amax(-1, keepdim=True) / 127).clamp_min(1e-30)
    return ((blocks / scale).round() * scale).flatten(-2)[..., :n]


class RoundedCache(DynamicCache):
    """Keys and values as a bfloat16 cache returns them."""

    def update(self, keys, values, *args, **kwargs):
        return super().update(to_bfloat16(keys), to_bfloat16(values), *args, **kwargs)


def with_rounded_inputs(model, quantise):
    """The model with the input of each linear layer quantised."""
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(lambda _module, args: (quantise(args[0]),))
    return model


def with_rounded_weights(model):
    for p in model.parameters():
        if p.dim() == 2:
            p.copy_(to_bfloat16(p))
    return model


def reference_modes(model):
    """Yields (mode, function from ids to logits)."""

    def plain(model):
        return lambda ids: run_logits(model, ids).float()

    rounded = with_rounded_inputs(with_rounded_weights(copy.deepcopy(model)), to_bfloat16)
    yield "bfloat16", plain(rounded)
    yield (
        "bfloat16, KV",
        lambda ids: rounded(torch.tensor([ids]), past_key_values=RoundedCache()).logits[0],
    )
    del rounded
    rounded = copy.deepcopy(model)
    for p in rounded.parameters():
        p.data = p.data.bfloat16()  # not the buffers: rotations stay in float32
    yield "all bfloat16", plain(rounded)
    rounded = with_rounded_inputs(copy.deepcopy(model), lambda x: to_int8(x, 32))
    yield "int8 blocks", plain(rounded)
    rounded = with_rounded_inputs(copy.deepcopy(model), lambda x: to_int8(x, x.shape[-1]))
    yield "int8 rows", plain(rounded)


class Score:
    """Errors of one mode over all positions so far."""

    def __init__(self):
        self.error, self.kl, self.same = [], [], []

    def add(self, logits, oracle):
        error = (logits - oracle).abs().amax(-1) / oracle.std(-1)
        log_p, log_q = oracle.double().log_softmax(-1), logits.double().log_softmax(-1)
        self.error.append(error)
        self.kl.append((log_p.exp() * (log_p - log_q)).sum(-1))
        self.same.append((logits.argmax(-1) == oracle.argmax(-1)).float())

    def __str__(self):
        error, kl, same = torch.cat(self.error), torch.cat(self.kl), torch.cat(self.same)
        return (
            f"{len(kl):6d} positions  error {error.max():.2e}  KL mean {kl.mean():.2e} "
            f"max {kl.max():.2e}  same best {same.mean():.4f}"
        )


def open_model(path):
    """A model and the file of its sequences."""
    if path.is_dir():
        return load_model(path), path / "expected.safetensors"
    beside = path.with_suffix(".safetensors")
    expected = beside if beside.exists() else GOLDEN / "smollm2" / "expected.safetensors"
    return load_gguf(path)[0], expected


def read_sequences(path):
    """Each sequence's prompt and greedy continuation."""
    tensors = load_file(path)
    n_sequences = sum(name.endswith(".input_ids") for name in tensors)
    return [
        tensors[f"seq{i}.input_ids"].tolist() + tensors[f"seq{i}.greedy"].tolist()
        for i in range(n_sequences)
    ]


def compare_file(model, sequences, path):
    score = Score()
    with safe_open(path, "pt") as file:
        for i, ids in enumerate(sequences):
            if f"seq{i}.logits" in file.keys():
                logits = file.get_tensor(f"seq{i}.logits").float()
                score.add(logits, run_logits(model, ids[: len(logits)]))
    print(score)


def compare_modes(model, sequences):
    for mode, run in reference_modes(model):
        score = Score()
        for ids in sequences:
            score.add(run(ids), run_logits(model, ids))
        print(f"{mode:14s}{score}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL", type=Path)
    parser.add_argument("logits", metavar="LOGITS", nargs="?")
    args = parser.parse_args()
    model, expected = open_model(args.model)
    sequences = read_sequences(expected)
    if args.logits:
        compare_file(model, sequences, args.logits)
    else:
        compare_modes(model, sequences)
