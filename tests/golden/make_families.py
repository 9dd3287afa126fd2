"""Makes tests/golden/families: small random models of each family and what transformers computes.

    make_families.py [NAME ...]             make all families, or those named
    make_families.py --recheck [NAME ...]   hold the installed transformers to the stored results

Weights are scaled by fan-in so that logits spread and attention is neither uniform nor one-hot,
and every weight is representable in bfloat16, so that one file serves float32 and bfloat16
engines exactly.  Each family is made only if a wrong implementation would show: every projection
rotated by one row and every number of the configuration changed must move the logits by at least
MIN_MUTATION of their standard deviation.

--recheck also writes config.v5.json beside config.json when transformers 5 is installed: the same
model in the newer spelling (rope_parameters).
"""

import argparse
import copy
import math

import torch
import transformers
from safetensors.torch import load_file

from oracle import GOLDEN, load_model, record, run_logits, worst_change, write_tensors

FAMILIES_DIR = GOLDEN / "families"
LENGTHS = (5, 23, 61)
MIN_STD = 3.0  # of the logits
MIN_MUTATION = 1e-2  # of the logits' standard deviation, 100 times the tolerance for float32
MAX_ROUNDING = 1e-5  # float32 against float64, of the logits' standard deviation

COMMON = dict(
    vocab_size=288,
    hidden_size=64,
    intermediate_size=144,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    rms_norm_eps=1e-2,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
    tie_word_embeddings=False,
)


def family(kind, lengths=LENGTHS, dtype=torch.bfloat16, shard="1GB", **config):
    """kind: class prefix in transformers; dtype, shard: how model.safetensors is stored."""
    return dict(kind=kind, lengths=lengths, dtype=dtype, shard=shard, config=COMMON | config)


FAMILIES = {
    "llama_mha": family("Llama", num_key_value_heads=4, intermediate_size=160, vocab_size=261),
    "llama_rope_llama3": family(
        "Llama",
        hidden_size=96,
        num_attention_heads=6,
        rope_theta=20000.0,
        rope_scaling=dict(
            rope_type="llama3",
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=64,
        ),
    ),
    "llama_tied": family(
        "Llama",
        hidden_size=96,
        num_attention_heads=3,
        num_key_value_heads=1,
        rope_theta=5000.0,
        tie_word_embeddings=True,
    ),
    "llama_bias": family(
        "Llama",
        dtype=torch.float16,
        head_dim=24,
        attention_bias=True,
        mlp_bias=True,
        rope_scaling=dict(rope_type="linear", factor=2.5),
    ),
    "mistral": family("Mistral", sliding_window=9, head_dim=32, rope_theta=30000.0),
    "qwen2": family(
        "Qwen2",
        num_hidden_layers=4,
        use_sliding_window=True,
        sliding_window=11,
        max_window_layers=2,
    ),
    "qwen3": family("Qwen3", head_dim=32, tie_word_embeddings=True),
    "qwen3_bias": family(
        "Qwen3",
        dtype=torch.float32,
        shard="150KB",
        hidden_size=48,
        head_dim=24,
        attention_bias=True,
        use_sliding_window=True,
        sliding_window=10,
        max_window_layers=1,
    ),
    "gemma2": family(
        "Gemma2",
        num_hidden_layers=4,
        rms_norm_eps=3e-2,
        head_dim=24,
        query_pre_attn_scalar=20,
        sliding_window=8,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=15.0,
        tie_word_embeddings=True,
    ),
    "gemma3": family(
        "Gemma3Text",
        hidden_size=48,
        intermediate_size=112,
        num_hidden_layers=7,
        num_key_value_heads=1,
        head_dim=16,
        query_pre_attn_scalar=20,
        sliding_window=8,
        final_logit_softcapping=15.0,
        rope_theta=50000.0,
        rope_local_base_freq=1000.0,
        rope_scaling=dict(rope_type="linear", factor=2.0),
        tie_word_embeddings=True,
    ),
    "phi3": family("Phi3", hidden_size=96, partial_rotary_factor=0.5, sliding_window=19),
    # Rotated with short_factor up to 64 tokens, all with long_factor beyond: seq0 and seq2 stay
    # below, seq1 starts above, seq3 crosses while it is continued.
    "phi3_longrope": family(
        "Phi3",
        lengths=(5, 70, 23, 50),
        hidden_size=96,
        partial_rotary_factor=0.75,
        original_max_position_embeddings=64,
        rope_scaling=dict(
            type="longrope",
            short_factor=[1.0, 1.05, 1.1, 1.2, 1.3, 1.45, 1.6, 1.8, 2.0],
            long_factor=[1.1, 1.3, 1.7, 2.2, 3.0, 4.5, 6.5, 9.0, 12.0],
        ),
    ),
}


def build(kind, config):
    """A model in float32 of this configuration (a dict or a transformers config)."""
    if isinstance(config, dict):
        config = getattr(transformers, kind + "Config")(**config)
    config._attn_implementation = "eager"
    return getattr(transformers, kind.replace("Text", "") + "ForCausalLM")(config).float().eval()


def randomise(model, seed):
    """Fills in weights: linear layers by fan-in, norms around one, biases around zero."""
    rng = torch.Generator().manual_seed(seed)
    gemma = model.config.model_type.startswith("gemma")
    gains = dict(q_proj=1.4, k_proj=1.4, qkv_proj=1.3, o_proj=1.6, gate_proj=1.5, down_proj=1.8)
    gains |= dict(lm_head=5.0)
    for name, p in model.named_parameters():
        part = name.split(".")[-2]
        w = torch.randn(p.shape, generator=rng)
        if part == "embed_tokens":
            tied = model.config.tie_word_embeddings
            w *= 5.0 / math.sqrt(p.shape[1]) if tied else 1.0
        elif p.dim() == 2:
            w *= gains.get(part, 1.0) / math.sqrt(p.shape[1])
        elif name.endswith("bias"):
            w *= 0.4
        else:
            scale = 1.25 if part in ("q_norm", "k_norm") else 1.0
            w = scale * (1.0 + 0.25 * w.clamp(-2, 2)) - (1.0 if gemma else 0.0)
        p.copy_(w.bfloat16().half().float())  # exact in each of the three storage types


def attention_entropy(model, ids):
    """Mean entropy of each layer's attention, 0 for one-hot and 1 for uniform."""
    attentions = model(torch.tensor([ids]), use_cache=False, output_attentions=True).attentions
    ratios = []
    for probs in attentions:
        probs = probs[0, :, 3:]
        n_visible = (probs > 0).sum(-1)
        entropy = -(probs * probs.clamp_min(1e-30).log()).sum(-1)
        ratios.append(float((entropy / n_visible.log()).mean()))
    return ratios


def mutated_weights(model):
    """Yields (name, model), each with one tensor rotated by one row."""
    for name, p in model.named_parameters():
        kept = p.clone()
        p.copy_(p.roll(1, 0))
        yield name, model
        p.copy_(kept)


def mutated_configs(kind, model):
    """Yields (field, model), each with one number of the configuration changed."""
    changes = dict(
        rms_norm_eps=2.0,
        rope_theta=1.1,
        rope_local_base_freq=1.1,
        partial_rotary_factor=4 / 3,
        query_pre_attn_scalar=1.1,
        attn_logit_softcapping=1.1,
        final_logit_softcapping=1.1,
        factor=1.1,
        low_freq_factor=1.1,
        high_freq_factor=1.1,
        original_max_position_embeddings=1.5,
        short_factor=1.1,
        long_factor=1.1,
    )
    for field in (*changes, "sliding_window", "layer_types"):
        config = copy.deepcopy(model.config)
        scaling = getattr(config, "rope_scaling", None) or {}
        owner = scaling if field in scaling else vars(config)
        value = owner.get(field)
        longrope = scaling.get("type") == "longrope"
        if value is None or (field == "partial_rotary_factor" and (longrope or value == 1.0)):
            continue  # longrope has one factor for each rotated pair
        if field == "original_max_position_embeddings" and not scaling:
            continue
        if field == "layer_types":
            owner[field] = value[1:] + value[:1]
            if owner[field] == value:
                continue
        elif field == "sliding_window":
            owner[field] = value + 1
        elif isinstance(value, list):
            owner[field] = [changes[field] * x for x in value]
        else:
            owner[field] = type(value)(changes[field] * value)
        mutant = build(kind, config)
        mutant.load_state_dict(model.state_dict())
        yield field, mutant


def make(name, spec):
    model = build(spec["kind"], spec["config"])
    randomise(model, seed=1 + list(FAMILIES).index(name))

    tensors = record(model, spec["lengths"])
    sequences = [tensors[f"seq{i}.input_ids"] for i in range(len(spec["lengths"]))]
    base = [tensors[f"seq{i}.logits"] for i in range(len(spec["lengths"]))]
    std = min(float(x.std()) for x in base)
    entropy = [attention_entropy(model, ids) for ids in sequences[1:]]
    lowest, highest = min(map(min, entropy)), max(map(max, entropy))
    rounding = worst_change(base, copy.deepcopy(model).double(), sequences)
    changes = {k: worst_change(base, m, sequences) for k, m in mutated_weights(model)}
    weight = min(changes, key=changes.get)
    fields = {k: worst_change(base, m, sequences) for k, m in mutated_configs(spec["kind"], model)}
    print(
        f"{name}: std {std:.2f}, entropy {lowest:.2f}-{highest:.2f}, rounding {rounding:.1e}, "
        f"weight rotated >= {changes[weight]:.2g} ({weight}); "
        + ", ".join(f"{k} {v:.2g}" for k, v in fields.items())
    )
    assert std >= MIN_STD and 0.2 < lowest and highest < 0.95 and rounding < MAX_ROUNDING, name
    assert min([*changes.values(), *fields.values()]) >= MIN_MUTATION, name

    directory = FAMILIES_DIR / name
    for stale in directory.glob("model*"):
        stale.unlink()
    model.to(spec["dtype"]).save_pretrained(directory, max_shard_size=spec["shard"])
    write_tensors(directory / "expected.safetensors", tensors)
    recheck(name)


def recheck(name):
    """The stored directory, read by the installed transformers, gives the stored results."""
    directory = FAMILIES_DIR / name
    expected = load_file(directory / "expected.safetensors")
    model = load_model(directory)
    worst = 0.0
    for i in range(len(FAMILIES[name]["lengths"])):
        logits = run_logits(model, expected[f"seq{i}.input_ids"].tolist())
        worst = max(worst, float((logits - expected[f"seq{i}.logits"]).abs().max() / logits.std()))
    print(f"{name}: reread by transformers {transformers.__version__}, error {worst:.1e}")
    assert worst < MAX_ROUNDING, name
    if transformers.__version__.startswith("5."):
        model.config.dtype = FAMILIES[name]["dtype"]
        (directory / "config.v5.json").write_text(model.config.to_json_string(), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recheck", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    for name in args.names or FAMILIES:
        if args.recheck:
            recheck(name)
        else:
            make(name, FAMILIES[name])
