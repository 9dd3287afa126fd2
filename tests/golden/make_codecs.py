"""Makes tests/golden/codecs.safetensors and tests/golden/gguf: GGML blocks and GGUF files, with the
values that the gguf package reads in them.

    make_codecs.py

codecs.safetensors has random blocks of each type.  gguf/kinds.gguf has metadata of every kind and a
tensor of every type; gguf/tiny_llama.gguf is a two-layer model with a tokenizer.
"""

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import dequantize, quantize

from oracle import (
    GOLDEN,
    load_gguf,
    load_gguf_tokenizer,
    record,
    swap_rotated_rows,
    worst_change,
    write_json,
    write_tensors,
)
from smollm2_texts import CHAT_PROMPTS, messages

GGUF_DIR = GOLDEN / "gguf"

# Where the float16 scales of a block lie, in bytes; every other byte may be anything.
SCALES = dict(
    F16=[], BF16=[], MXFP4=[],
    Q4_0=[0], Q4_1=[0, 2], Q5_0=[0], Q5_1=[0, 2], Q8_0=[0],
    Q2_K=[80, 82], Q3_K=[108], Q4_K=[0, 2], Q5_K=[0, 2], Q6_K=[208],
    IQ4_NL=[0], IQ4_XS=[0],
)  # fmt: skip
TYPES = {name: GGMLQuantizationType[name] for name in SCALES}


def random_blocks(name, n_blocks, rng):
    """Random blocks [n_blocks, block_bytes] of finite values, subnormal and zero scales too."""
    block_elems, block_bytes = GGML_QUANT_SIZES[TYPES[name]]
    raw = rng.integers(0, 256, (n_blocks, block_bytes), dtype=np.uint8)
    for offset in SCALES[name]:
        scale = rng.standard_normal(n_blocks) * 10.0 ** rng.integers(-8, 2, n_blocks)
        raw[:, offset : offset + 2] = scale.astype("<f2").view(np.uint8).reshape(-1, 2)
    if name == "MXFP4":
        raw[:, 0] = rng.integers(100, 150, n_blocks)
        raw[:4, 0] = [0, 1, 2, 3]  # the first two scales are subnormal in float32
    if block_elems == 1:  # clear an exponent bit of what would be infinite
        infinite = ~np.isfinite(dequantize(raw, TYPES[name])[:, 0])
        raw[infinite, 1] &= 0xBF
    return raw


def make_codecs():
    rng = np.random.default_rng(1)
    tensors = {}
    for name, kind in TYPES.items():
        n_blocks = {1: 1024, 32: 200, 256: 48}[GGML_QUANT_SIZES[kind][0]]
        raw = random_blocks(name, n_blocks, rng)
        values = dequantize(raw, kind)
        assert np.isfinite(values).all() and values.any(), name
        tensors |= {f"{name}.raw": raw, f"{name}.values": values}
    write_tensors(GOLDEN / "codecs.safetensors", tensors)


def make_kinds():
    """Every kind of metadata, a tensor of every type, an alignment other than 32."""
    path = GGUF_DIR / "kinds.gguf"
    writer = GGUFWriter(path, "none")
    writer.add_custom_alignment(64)
    numbers = dict(
        uint8=200, int8=-100, uint16=60000, int16=-30000, uint32=4000000000, int32=-2000000000,
        uint64=2**64 - 1, int64=-(2**63), float32=0.15625, float64=1e-300,
    )  # fmt: skip
    for kind, value in numbers.items():
        getattr(writer, f"add_{kind}")(f"test.{kind}", value)
    writer.add_bool("test.true", True)
    writer.add_bool("test.false", False)
    writer.add_string("test.string", "héllo \U0001f642")
    writer.add_key_value("test.empty_string", "", GGUFValueType.STRING)
    writer.add_array("test.array_int", [1, -2, 3])
    writer.add_array("test.array_float", [0.5, -1.25])
    writer.add_array("test.array_bool", [True, False, True])
    writer.add_array("test.array_string", ["a", "", "ç"])

    rng = np.random.default_rng(2)
    writer.add_tensor("F32", rng.standard_normal((2, 3, 5)).astype(np.float32))
    writer.add_tensor("F32.vector", rng.standard_normal(7).astype(np.float32))
    for name, kind in TYPES.items():
        row_blocks = 64 if GGML_QUANT_SIZES[kind][0] == 1 else 2
        raw = random_blocks(name, 3 * row_blocks, rng).reshape(3, -1)
        writer.add_tensor(name, raw, raw_dtype=kind)
    finish(writer)

    reader = GGUFReader(path)
    meta = {k: f.contents() for k, f in reader.fields.items() if not k.startswith("GGUF.")}
    write_json(
        GGUF_DIR / "kinds.json", dict(metadata=[dict(key=k, value=v) for k, v in meta.items()])
    )
    values = {t.name: dequantize(t.data, t.tensor_type) for t in reader.tensors}
    write_tensors(GGUF_DIR / "kinds.safetensors", values)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer):
    """A byte-level BPE: 4 special tokens, 256 bytes, a few merges.  Returns the number of tokens."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    characters = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    merges = """Ġ t|h e|i n|e r|a n|Ġt he|o n|r e|Ġ a|e s|Ġ s|o r|e n|a t|i s|Ġ w|n d|Ġa nd|in g|Ġ o
        |o u|l l|l o|Ġ Ġ|ĠĠ ĠĠ|Ċ Ċ|u s|s s|a i|s t|u t|Ġ h|he ll|hell o|s y|sy st|e m|syst em
        |us er|Ġ i|l e|a r|Ġa s"""
    merges = [m.strip() for m in merges.split("|")]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unused>"]
    tokens = special + characters + [m.replace(" ", "") for m in merges]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(special) + [1] * (len(tokens) - len(special)))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    return len(tokens)


def set_scales(blocks, kind, scale):
    """Gives all blocks this scale; Q4_K a minimum that centres its quants as well."""
    for offset, share in zip(SCALES[kind], (1.0, 7.5)):
        blocks[:, offset : offset + 2] = np.array([share * scale], "<f2").view(np.uint8)


def random_weight(rng, kind, rows, cols, gain):
    """A random matrix scaled by fan-in, in blocks [rows, row_bytes] of this type."""
    std = gain / np.sqrt(cols)
    if kind in ("Q4_K", "Q6_K"):  # which gguf cannot write: random blocks, then a scale to fit
        blocks = random_blocks(kind, rows * cols // 256, rng)
        set_scales(blocks, kind, 1.0)
        set_scales(blocks, kind, std / dequantize(blocks, TYPES[kind]).std())
        return blocks.reshape(rows, -1)
    w = (std * rng.standard_normal((rows, cols))).astype(np.float32)
    return w if kind == "F32" else quantize(w, TYPES[kind])


def make_tiny_llama():
    path = GGUF_DIR / "tiny_llama.gguf"
    hidden, mlp, heads, kv_heads, head_dim = 256, 512, 8, 2, 32
    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny llama")
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(mlp)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_freq_base(20000.0)
    writer.add_rope_dimension_count(head_dim)
    writer.add_layer_norm_rms_eps(1e-5)
    n_vocab = add_tokenizer(writer)
    writer.add_vocab_size(n_vocab)

    rng = np.random.default_rng(3)

    def add(name, kind, rows, cols, gain=1.0):
        raw = random_weight(rng, kind, rows, cols, gain)
        writer.add_tensor(name, raw, raw_dtype=TYPES.get(kind))

    def add_norm(name):
        writer.add_tensor(name, (1 + 0.25 * rng.uniform(-2, 2, hidden)).astype(np.float32))

    add("token_embd.weight", "Q8_0", n_vocab, hidden, gain=16.0)
    for i, (q, v, o, up) in enumerate(
        [("Q8_0", "Q6_K", "Q4_0", "Q4_0"), ("Q4_0", "F16", "Q8_0", "Q4_K")]
    ):
        block = f"blk.{i}"
        add_norm(f"{block}.attn_norm.weight")
        add(f"{block}.attn_q.weight", q, heads * head_dim, hidden, gain=1.4)
        add(f"{block}.attn_k.weight", q, kv_heads * head_dim, hidden, gain=1.4)
        add(f"{block}.attn_v.weight", v, kv_heads * head_dim, hidden)
        add(f"{block}.attn_output.weight", o, hidden, heads * head_dim, gain=1.6)
        add_norm(f"{block}.ffn_norm.weight")
        add(f"{block}.ffn_gate.weight", "Q4_0", mlp, hidden, gain=1.5)
        add(f"{block}.ffn_up.weight", up, mlp, hidden)
        add(f"{block}.ffn_down.weight", "Q6_K", hidden, mlp, gain=1.8)
    add_norm("output_norm.weight")
    add("output.weight", "F16", n_vocab, hidden, gain=5.0)
    finish(writer)

    model, meta = load_gguf(path)
    tensors = record(model, (5, 23))
    sequences = [tensors[f"seq{i}.input_ids"] for i in range(2)]
    base = [tensors[f"seq{i}.logits"] for i in range(2)]
    for tensor in GGUFReader(path).tensors:
        values = np.atleast_2d(dequantize(tensor.data, tensor.tensor_type))
        tensors[f"{tensor.name}.first_row"] = values[0]
        tensors[f"{tensor.name}.last_row"] = values[-1]
    write_tensors(GGUF_DIR / "tiny_llama.safetensors", tensors)

    tokenizer = load_gguf_tokenizer(meta)
    texts = [
        "",
        "hello",
        " the system user",
        "<|im_start|>user\nHi<|im_end|>",
        "  12 ab  é🙂\n\n",
        "the<unused>",
    ]
    turns = messages(CHAT_PROMPTS[3])
    chat = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    write_json(
        GGUF_DIR / "tiny_llama.json",
        dict(
            texts=[dict(text=t, ids=tokenizer.encode(t)) for t in [*texts, chat]],
            conversations=[dict(messages=turns, add_generation_prompt=True, text=chat)],
        ),
    )

    weight = model.model.layers[0].self_attn.k_proj.weight
    weight.copy_(torch.from_numpy(swap_rotated_rows(weight.numpy(), kv_heads)))
    swapped = worst_change(base, model, sequences)
    print(
        f"tiny_llama: std {min(float(x.std()) for x in base):.2f}, "
        f"rows of one attn_k left in the other order {swapped:.2g}"
    )
    assert swapped > 0.1


if __name__ == "__main__":
    GGUF_DIR.mkdir(exist_ok=True)
    make_codecs()
    make_kinds()
    make_tiny_llama()
