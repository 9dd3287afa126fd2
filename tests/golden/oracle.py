"""What the golden-vector scripts share: recording a transformers model, and writing safetensors.

Every model runs in float32 with eager attention on one thread, so that a run can be repeated.
Sequences are written as tensors named seqI.*, described in README.md.
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

torch.set_num_threads(1)
torch.set_grad_enabled(False)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

GOLDEN = Path(__file__).resolve().parent


def write_tensors(path, tensors, **metadata):
    """Writes float32, int32 and uint8 tensors; integers become int32, other floats float32."""
    out = {}
    for name, value in tensors.items():
        value = np.asarray(value)
        if value.dtype != np.uint8:
            value = value.astype(np.int32 if value.dtype.kind in "iu" else np.float32)
        out[name] = np.ascontiguousarray(value)
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(out, path, metadata=versions | metadata)


def write_json(path, value):
    """Writes JSON for people to read: one array element or object member a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_model(directory):
    """A HF directory's model, in float32 whatever it is stored in."""
    return transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def run_logits(model, ids):
    """Logits [T, V] of one forward pass without a cache."""
    return model(torch.tensor([list(ids)]), use_cache=False).logits[0]


def run_hidden(model, ids):
    """Logits [T, V] and the residual stream [n_layers + 1, T, H]: the first layer's input, then
    each layer's output.  Unlike output_hidden_states, the last one is not normalised."""
    states = []
    layers = model.model.layers

    def keep_input(_module, args, kwargs):
        states.append(args[0] if args else kwargs["hidden_states"])

    def keep_output(_module, _args, output):
        states.append(output[0] if isinstance(output, tuple) else output)

    hooks = [layers[0].register_forward_pre_hook(keep_input, with_kwargs=True)]
    hooks += [layer.register_forward_hook(keep_output) for layer in layers]
    logits = run_logits(model, ids)
    for hook in hooks:
        hook.remove()
    return logits, torch.cat(states)


def run_greedy(model, ids, n_tokens, cache=False):
    """Greedy continuation: ids [n_tokens], and how far the best logit was ahead of the second.

    Without a cache every step is a forward pass over all tokens so far, which is the definition
    also for models whose rotation depends on the length."""
    ids, past, fed = list(ids), None, 0
    chosen, margins = [], []
    for _ in range(n_tokens):
        out = model(torch.tensor([ids[fed:]]), past_key_values=past, use_cache=cache)
        if cache:
            past, fed = out.past_key_values, len(ids)
        best = out.logits[0, -1].topk(2)
        chosen.append(int(best.indices[0]))
        margins.append(float(best.values[0] - best.values[1]))
        ids.append(chosen[-1])
    return chosen, margins
