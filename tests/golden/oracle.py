"""What the golden-vector scripts share: recording a transformers model, and writing safetensors.

Every model runs in float32 with eager attention on one thread, so that a run can be repeated.
Sequences are written as tensors named seqI.*, described in README.md.
"""

import json
from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.numpy import save_file

torch.set_num_threads(1)
torch.set_grad_enabled(False)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

GOLDEN = Path(__file__).resolve().parent
N_GREEDY = 32
MIN_MARGIN = 2e-2  # every greedy token of a small model is this far ahead of the second


def write_tensors(path, tensors):
    """Writes float32, int32 and uint8 tensors; integers become int32, other floats float32."""
    out = {}
    for name, value in tensors.items():
        value = np.asarray(value)
        if value.dtype != np.uint8:
            value = value.astype(np.int32 if value.dtype.kind in "iu" else np.float32)
        out[name] = np.ascontiguousarray(value)
    torch_version = torch.__version__.split("+")[0]
    metadata = {"made_with": f"torch {torch_version}, transformers {transformers.__version__}"}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(out, path, metadata=metadata)


def write_json(path, value):
    """Writes a list, or an object of lists, with one element a line."""

    def lines(elements):
        return ",\n".join(json.dumps(e, ensure_ascii=False) for e in elements)

    if isinstance(value, dict):
        members = [f'"{key}": [\n{lines(elements)}\n]' for key, elements in value.items()]
        text = "{\n" + ",\n".join(members) + "\n}\n"
    else:
        text = f"[\n{lines(value)}\n]\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


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


def choose_sequence(model, length, seed):
    """Random ids whose greedy continuation is decided clearly and has no special token (0, 1, 2):
    ids [length], continuation [N_GREEDY], margins [N_GREEDY]."""
    for attempt in range(1000):
        rng = torch.Generator().manual_seed(seed + attempt)
        ids = torch.randint(3, model.config.vocab_size, (length,), generator=rng).tolist()
        greedy, margins = run_greedy(model, ids, N_GREEDY)
        if min(margins) >= MIN_MARGIN and min(greedy) >= 3:
            return ids, greedy, margins
    raise RuntimeError(f"no sequence of {length} tokens is decided by {MIN_MARGIN}")


def record(model, lengths):
    """The seqI.* tensors of a small model on random sequences of these lengths."""
    tensors = {}
    for i, length in enumerate(lengths):
        ids, greedy, margins = choose_sequence(model, length, seed=1000 * i)
        logits, hidden = run_hidden(model, ids)
        tensors |= {
            f"seq{i}.input_ids": ids,
            f"seq{i}.logits": logits,
            f"seq{i}.greedy": greedy,
            f"seq{i}.margin": margins,
        }
        if i == 1:
            tensors[f"seq{i}.hidden"] = hidden
    return tensors


def worst_change(base, mutant, sequences):
    """Largest change of a logit, in standard deviations of the logits."""
    return max(
        float((run_logits(mutant, ids) - logits).abs().max() / logits.std())
        for ids, logits in zip(sequences, base)
    )


def hf_name(name):
    """A llama-architecture GGUF tensor's name in transformers."""
    parts = dict(
        token_embd="model.embed_tokens",
        output_norm="model.norm",
        output="lm_head",
        attn_norm="input_layernorm",
        attn_q="self_attn.q_proj",
        attn_k="self_attn.k_proj",
        attn_v="self_attn.v_proj",
        attn_output="self_attn.o_proj",
        ffn_norm="post_attention_layernorm",
        ffn_gate="mlp.gate_proj",
        ffn_up="mlp.up_proj",
        ffn_down="mlp.down_proj",
    )
    *block, part, suffix = name.split(".")
    prefix = f"model.layers.{block[1]}." if block else ""
    return f"{prefix}{parts[part]}.{suffix}"


def swap_rotated_rows(w, n_heads):
    """GGUF interleaves the rows that a rotation pairs (2i, 2i + 1); transformers keeps the halves
    of a head apart (i, i + D/2).  From GGUF's order to transformers'."""
    return w.reshape(n_heads, -1, 2, w.shape[-1]).swapaxes(1, 2).reshape(w.shape)


def load_gguf(path):
    """A llama-architecture GGUF file: the model on its dequantised weights, and its metadata."""
    reader = GGUFReader(path)
    meta = {key: field.contents() for key, field in reader.fields.items()}
    config = transformers.LlamaConfig(
        vocab_size=len(meta["tokenizer.ggml.tokens"]),
        hidden_size=meta["llama.embedding_length"],
        intermediate_size=meta["llama.feed_forward_length"],
        num_hidden_layers=meta["llama.block_count"],
        num_attention_heads=meta["llama.attention.head_count"],
        num_key_value_heads=meta["llama.attention.head_count_kv"],
        max_position_embeddings=meta["llama.context_length"],
        rms_norm_eps=float(f"{meta['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        rope_theta=meta["llama.rope.freq_base"],
        bos_token_id=meta["tokenizer.ggml.bos_token_id"],
        eos_token_id=meta["tokenizer.ggml.eos_token_id"],
        pad_token_id=meta["tokenizer.ggml.padding_token_id"],
        tie_word_embeddings=all(t.name != "output.weight" for t in reader.tensors),
    )
    config._attn_implementation = "eager"
    model = transformers.LlamaForCausalLM(config).float().eval()
    weights = {}
    for tensor in reader.tensors:
        w = dequantize(tensor.data, tensor.tensor_type)
        if tensor.name.endswith(("attn_q.weight", "attn_k.weight")):
            is_q = tensor.name.endswith("attn_q.weight")
            heads = config.num_attention_heads if is_q else config.num_key_value_heads
            w = swap_rotated_rows(w, heads)
        weights[hf_name(tensor.name)] = torch.from_numpy(np.array(w, dtype=np.float32))
    if config.tie_word_embeddings:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model.load_state_dict(weights)
    return model, meta


def load_gguf_tokenizer(meta):
    """The tokenizer of a GGUF file of type gpt2, pre-tokenizer smollm: digits one by one, then
    GPT-2's byte-level BPE.  A byte that is not in the vocabulary is dropped."""
    assert (meta["tokenizer.ggml.model"], meta["tokenizer.ggml.pre"]) == ("gpt2", "smollm")
    tokens = meta["tokenizer.ggml.tokens"]
    merges = [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]
    vocab = {token: i for i, token in enumerate(tokens)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Digits(individual_digits=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    kinds = meta["tokenizer.ggml.token_type"]
    special = [token for token, kind in zip(tokens, kinds) if kind == 3]
    tokenizer.add_special_tokens(
        [tokenizers.AddedToken(token, special=True, normalized=False) for token in special]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=tokens[meta["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[meta["tokenizer.ggml.eos_token_id"]],
        unk_token=tokens[meta["tokenizer.ggml.unknown_token_id"]],
        pad_token=tokens[meta["tokenizer.ggml.padding_token_id"]],
        chat_template=meta.get("tokenizer.chat_template"),
        clean_up_tokenization_spaces=False,
    )
