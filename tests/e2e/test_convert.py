"""`trireme convert`: a checkpoint as TensorRT-LLM's tools wrote it.  What each rank must hold is
computed here from the HF tensors with numpy, from the format's description alone:

  rank = pp_rank * tp + tp_rank; layers are numbered within the pipeline stage; qkv is the rank's
  heads of q, of k and of v, one after the other, a kv head going to several ranks when there are
  fewer than ranks; mlp.fc is gate_proj and mlp.gate is up_proj; fc and gate are cut by rows, dense
  and proj by columns; lm_head by rows, padded with zeros; embedding and norms are whole."""

import functools
import json
import shutil

import gguf
import numpy as np
import pytest

import harness
from harness import FAMILIES, GOLDEN, SMOLLM2, family, read_model, read_tensors, refused

LAYER_NAMES = {
    "input_layernorm": "input_layernorm",
    "post_attention_layernorm": "post_layernorm",
    "pre_feedforward_layernorm": "pre_feedforward_layernorm",
    "post_feedforward_layernorm": "post_feedforward_layernorm",
    "self_attn.q_norm": "attention.q_layernorm",
    "self_attn.k_norm": "attention.k_layernorm",
}


# ---- what a checkpoint must hold ----


def share(array, tp, rank, axis=0):
    n = array.shape[axis] // tp
    return array.take(range(rank * n, (rank + 1) * n), axis)


def heads_of(array, head_size, tp, rank):
    """The rank's heads of q, k or v, whole heads; one head for several ranks when tp is larger."""
    heads = array.reshape(-1, head_size, *array.shape[1:])
    n = len(heads)
    mine = heads[rank * n // tp : rank * n // tp + max(n // tp, 1)]
    return mine.reshape(-1, *array.shape[1:])


def split_qkv(array, config):
    q = config["num_attention_heads"] * config["head_dim"]
    kv = config["num_key_value_heads"] * config["head_dim"]
    return np.split(array, [q, q + kv])


def padded_share(array, tp, rank):
    each = -(-len(array) // tp)
    padded = np.zeros((each * tp, *array.shape[1:]), array.dtype)
    padded[: len(array)] = array
    return padded[rank * each : (rank + 1) * each]


def layer_of_rank(hf, prefix, config, tp, rank):
    """Short canonical name -> bits, for the layer whose tensors start with prefix."""
    out = {}
    for suffix in ".weight", ".bias":
        own = {
            k[len(prefix) : -len(suffix)]: t.bits
            for k, t in hf.items()
            if k.startswith(prefix) and k.endswith(suffix)
        }
        for name, canonical in LAYER_NAMES.items():
            if name in own:
                out[canonical + suffix] = own[name]
        qkv = None
        if "self_attn.qkv_proj" in own:
            qkv = split_qkv(own["self_attn.qkv_proj"], config)
        elif "self_attn.q_proj" in own:
            qkv = [own[f"self_attn.{p}_proj"] for p in "qkv"]
        if qkv:
            parts = [heads_of(p, config["head_dim"], tp, rank) for p in qkv]
            out["attention.qkv" + suffix] = np.concatenate(parts)
        if "mlp.gate_up_proj" in own:
            own["mlp.gate_proj"], own["mlp.up_proj"] = np.split(own["mlp.gate_up_proj"], 2)
        for name, canonical in ("gate", "fc"), ("up", "gate"):
            if f"mlp.{name}_proj" in own:
                out[f"mlp.{canonical}{suffix}"] = share(own[f"mlp.{name}_proj"], tp, rank)
        for name, canonical in ("self_attn.o_proj", "attention.dense"), ("mlp.down_proj", "mlp.proj"):
            if name in own:  # the bias is added once, after the ranks' sum
                whole = suffix == ".bias"
                out[canonical + suffix] = own[name] if whole else share(own[name], tp, rank, 1)
    return out


def checkpoint_of(hf, config, tp, pp):
    """For each rank: canonical name -> bits."""
    ranks = []
    n_layers = config["num_hidden_layers"] // pp
    for rank in range(tp * pp):
        stage, tp_rank = divmod(rank, tp)
        out = {}
        if stage == 0:
            out["transformer.vocab_embedding.weight"] = hf["model.embed_tokens.weight"].bits
        for i in range(n_layers):
            prefix = f"model.layers.{stage * n_layers + i}."
            for name, bits in layer_of_rank(hf, prefix, config, tp, tp_rank).items():
                out[f"transformer.layers.{i}.{name}"] = bits
        if stage == pp - 1:
            out["transformer.ln_f.weight"] = hf["model.norm.weight"].bits
            tied = "lm_head.weight" not in hf
            if not tied or tp * pp > 1:  # one rank has the embedding at hand
                head = hf["model.embed_tokens.weight" if tied else "lm_head.weight"].bits
                out["lm_head.weight"] = padded_share(head, tp, tp_rank)
        ranks.append(out)
    return ranks


def load_config(directory):
    config = json.loads((directory / "config.json").read_text())
    heads = config["num_attention_heads"]
    config.setdefault("num_key_value_heads", heads)
    config["head_dim"] = config.get("head_dim") or config["hidden_size"] // heads
    return config


def convert(model, output, *args):
    harness.trireme("convert", "--model_dir", model, "--output_dir", output, *args)
    return output


def check_ranks(checkpoint, expected, dtype):
    assert len(list(checkpoint.glob("*.safetensors"))) == len(expected)
    for rank, wanted in enumerate(expected):
        tensors = read_tensors(checkpoint / f"rank{rank}.safetensors")
        assert tensors.keys() == wanted.keys()
        for name, t in tensors.items():
            assert t.same(harness.Tensor(dtype, wanted[name])), (rank, name, t, wanted[name].shape)


def can_split(config, tp, pp):
    return (
        config["num_hidden_layers"] % pp == 0
        and config["num_attention_heads"] % tp == 0
        and config["intermediate_size"] % tp == 0
    )


CASES = [
    (name, tp, pp)
    for name in FAMILIES
    for tp, pp in ((1, 1), (2, 1), (1, 2), (2, 2))
    if can_split(load_config(family(name)), tp, pp)
]


@pytest.mark.parametrize("name, tp, pp", CASES)
def test_family(name, tp, pp, scratch):
    hf, config = read_model(family(name)), load_config(family(name))
    checkpoint = convert(family(name), scratch / "c", "--tp_size", tp, "--pp_size", pp)
    dtype = next(iter(hf.values())).dtype
    check_ranks(checkpoint, checkpoint_of(hf, config, tp, pp), dtype)


@pytest.mark.parametrize("tp, pp", [(1, 4), (2, 2), (4, 1), (8, 2)])
def test_more_ranks_than_kv_heads_and_an_odd_vocabulary(tp, pp, scratch):
    """8 heads over 2, 293 rows of lm_head."""
    model = harness.make_llama(scratch / "hf")
    hf, config = read_model(model), load_config(model)
    checkpoint = convert(model, scratch / "c", "--tp_size", tp, "--pp_size", pp)
    check_ranks(checkpoint, checkpoint_of(hf, config, tp, pp), "BF16")


def test_tied_head_of_several_ranks(scratch):
    model = harness.make_llama(scratch / "hf", tie_word_embeddings=True)
    hf, config = read_model(model), load_config(model)
    checkpoint = convert(model, scratch / "c", "--tp_size", 2, "--pp_size", 2)
    check_ranks(checkpoint, checkpoint_of(hf, config, 2, 2), "BF16")


@pytest.mark.parametrize("dtype, stored", [("float32", "F32"), ("float16", "F16"), ("bfloat16", "BF16")])
@pytest.mark.parametrize("name", ["llama_tied", "llama_bias", "qwen3_bias"])
def test_dtype(name, dtype, stored, scratch):
    """From bfloat16, float16 and float32 files; rounded to nearest, ties to even."""
    hf, config = read_model(family(name)), load_config(family(name))
    for t in hf.values():
        values = t.values().astype(np.float32)
        if stored == "BF16":
            t.bits = harness.to_bfloat16(values).bits
        else:
            t.bits = values.astype("<f4" if stored == "F32" else "<f2")
    checkpoint = convert(family(name), scratch / "c", "--dtype", dtype)
    check_ranks(checkpoint, checkpoint_of(hf, config, 1, 1), stored)
    assert json.loads((checkpoint / "config.json").read_text())["dtype"] == dtype


# ---- config.json ----

KEYS = (
    "architecture dtype logits_dtype vocab_size hidden_size num_hidden_layers num_attention_heads "
    "num_key_value_heads head_size qk_layernorm hidden_act intermediate_size norm_epsilon "
    "max_position_embeddings position_embedding_type rotary_base rotary_scaling "
    "use_parallel_embedding embedding_sharding_dim attn_bias mlp_bias residual_mlp "
    "disable_weight_only_quant_plugin remove_duplicated_kv_heads moe mapping quantization"
).split()
QUANTIZATION_KEYS = (
    "quant_algo kv_cache_quant_algo group_size smoothquant_val clamp_val has_zero_point "
    "pre_quant_scale exclude_modules"
).split()


def test_config_is_the_old_tools(scratch):
    """Every key of theirs, in their order; what follows is what they had no key for."""
    checkpoint = convert(family("llama_rope_llama3"), scratch / "c", "--tp_size", 2)
    config = json.loads((checkpoint / "config.json").read_text())
    hf = load_config(family("llama_rope_llama3"))
    assert list(config)[: len(KEYS)] == KEYS
    assert set(list(config)[len(KEYS) :]) <= {
        "tie_word_embeddings",
        "bos_token_id",
        "pad_token_id",
        "eos_token_id",
    }
    assert list(config["quantization"]) == QUANTIZATION_KEYS
    quantization = {k: config["quantization"][k] for k in QUANTIZATION_KEYS}
    assert quantization == {
        "quant_algo": None,
        "kv_cache_quant_algo": None,
        "group_size": 128,
        "smoothquant_val": 0.5,
        "clamp_val": None,
        "has_zero_point": False,
        "pre_quant_scale": False,
        "exclude_modules": None,
    }
    assert config["mapping"] == {
        "world_size": 2,
        "tp_size": 2,
        "pp_size": 1,
        "cp_size": 1,
        "moe_tp_size": 1,
        "moe_ep_size": 1,
        "gpus_per_node": 8,
    }
    moe = {"num_experts": 0, "top_k": 0, "normalization_mode": None, "tp_mode": 0}
    assert config["moe"] == moe
    assert config["architecture"] == "LlamaForCausalLM"
    assert config["dtype"] == "bfloat16" and config["logits_dtype"] == "float32"
    assert config["position_embedding_type"] == "rope_gpt_neox"
    assert config["norm_epsilon"] == hf["rms_norm_eps"]
    assert config["rotary_base"] == hf["rope_theta"]
    assert config["head_size"] == hf["head_dim"]
    scaling = {k: v for k, v in hf["rope_scaling"].items()}
    assert config["rotary_scaling"] == scaling
    for key in (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "hidden_act",
        "intermediate_size",
        "max_position_embeddings",
    ):
        assert config[key] == hf[key], key
    off = "qk_layernorm use_parallel_embedding attn_bias mlp_bias residual_mlp"
    for key in off.split():
        assert config[key] is False, key


@pytest.mark.parametrize("name", FAMILIES)
def test_config_of_each_family(name, scratch):
    checkpoint = convert(family(name), scratch / "c")
    config = json.loads((checkpoint / "config.json").read_text())
    hf = load_config(family(name))
    assert list(config)[: len(KEYS)] == KEYS
    assert config["architecture"] == hf["architectures"][0]
    assert config["head_size"] == hf["head_dim"]
    assert config["num_key_value_heads"] == hf["num_key_value_heads"]
    tensors = read_tensors(checkpoint / "rank0.safetensors")
    assert config["attn_bias"] == ("transformer.layers.0.attention.qkv.bias" in tensors)
    assert config["mlp_bias"] == ("transformer.layers.0.mlp.fc.bias" in tensors)
    norm = "transformer.layers.0.attention.q_layernorm.weight"
    assert config["qk_layernorm"] == (norm in tensors)


# ---- GGUF ----

GGUF_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_output": "attention.dense",
    "ffn_norm": "post_layernorm",
    "ffn_gate": "mlp.fc",
    "ffn_up": "mlp.gate",
    "ffn_down": "mlp.proj",
}
GGUF_TOP = {
    "token_embd": "transformer.vocab_embedding",
    "output_norm": "transformer.ln_f",
    "output": "lm_head",
}
FLOATS = {"F32": "F32", "F16": "F16", "BF16": "BF16"}


def unpermute(rows, n_heads):
    """Row 2i of a head in the file is row i, row 2i + 1 is row D/2 + i."""
    heads = rows.reshape(n_heads, -1, 2, *rows.shape[1:])
    return heads.swapaxes(1, 2).reshape(rows.shape)


@functools.cache
def read_gguf(path):
    """Canonical name -> (GGML type, stored rows): whole tensors, q and k in transformers' order.
    qkv comes in three when their types differ."""
    reader = gguf.GGUFReader(path)
    n_heads = int(reader.get_field("llama.attention.head_count").contents())
    n_kv_heads = int(reader.get_field("llama.attention.head_count_kv").contents())
    own, out = {}, {}
    for t in reader.tensors:
        rows = t.data if t.tensor_type.name in FLOATS else t.data.view(np.uint8)
        rows = rows if len(t.shape) == 1 else rows.reshape(int(t.shape[1]), -1)
        own[t.name] = (t.tensor_type.name, rows)
    for name, (kind, rows) in own.items():
        parts = name.split(".")
        if parts[0] != "blk":
            out[GGUF_TOP[parts[0]] + ".weight"] = (kind, rows)
        elif parts[2] in GGUF_NAMES:
            layer = f"transformer.layers.{parts[1]}."
            out[f"{layer}{GGUF_NAMES[parts[2]]}.weight"] = (kind, rows)
        elif parts[2] == "attn_q":
            qkv = [own[f"blk.{parts[1]}.attn_{p}.weight"] for p in "qkv"]
            kinds, rows = [k for k, _ in qkv], [r for _, r in qkv]
            rows[0], rows[1] = unpermute(rows[0], n_heads), unpermute(rows[1], n_kv_heads)
            prefix = f"transformer.layers.{parts[1]}.attention."
            if len(set(kinds)) == 1:
                out[prefix + "qkv.weight"] = (kinds[0], np.concatenate(rows))
            else:
                for p, k, r in zip("qkv", kinds, rows):
                    out[f"{prefix}{p}.weight"] = (k, r)
    return out


TINY = GOLDEN / "gguf" / "tiny_llama.gguf"


@pytest.mark.parametrize("path", [TINY, SMOLLM2], ids=["tiny_llama", "smollm2"])
def test_gguf_blocks_are_kept(path, scratch):
    checkpoint = convert(path, scratch / "c")
    expected = read_gguf(path)
    tensors = read_tensors(checkpoint / "rank0.safetensors")
    config = json.loads((checkpoint / "config.json").read_text())
    assert tensors.keys() == expected.keys()
    types = {}
    for name, (kind, rows) in expected.items():
        assert tensors[name].dtype == FLOATS.get(kind, "U8"), name
        assert tensors[name].bits.shape == rows.shape, name
        assert tensors[name].bits.tobytes() == rows.tobytes(), name
        if kind not in FLOATS:
            types[name] = kind.lower()
    assert types
    assert config["quantization"]["quant_algo"] == "GGUF"
    assert config["quantization"]["gguf_types"] == types


@pytest.mark.parametrize("path", [TINY, SMOLLM2], ids=["tiny_llama", "smollm2"])
def test_gguf_to_float32(path, scratch):
    checkpoint = convert(path, scratch / "c", "--dtype", "float32")
    parts, whole = read_gguf(path), {}
    for name, (kind, rows) in parts.items():
        values = gguf.quants.dequantize(rows, gguf.GGMLQuantizationType[kind])
        name = name.replace(".attention.q.", ".attention.qkv.")
        if ".attention.k." in name or ".attention.v." in name:
            name = name.replace(".attention.k.", ".attention.qkv.")
            name = name.replace(".attention.v.", ".attention.qkv.")
            whole[name] = np.concatenate([whole[name], values])
        else:
            whole[name] = values
    tensors = read_tensors(checkpoint / "rank0.safetensors")
    assert tensors.keys() == whole.keys()
    for name, t in tensors.items():
        assert t.dtype == "F32" and t.bits.shape == whole[name].shape, name
        assert np.array_equal(t.bits, whole[name]), name
    config = json.loads((checkpoint / "config.json").read_text())
    assert config["quantization"]["quant_algo"] is None and config["dtype"] == "float32"


def test_gguf_shards_between_blocks(scratch):
    """SmolLM2 on 3 ranks: 192 and 512 columns each are whole blocks of 32."""
    checkpoint = convert(SMOLLM2, scratch / "c", "--tp_size", 3)
    whole = read_gguf(SMOLLM2)
    ranks = [read_tensors(checkpoint / f"rank{r}.safetensors") for r in range(3)]
    for name, axis in ("mlp.proj", 1), ("attention.dense", 1), ("mlp.fc", 0):
        for layer in 0, 29:
            full = f"transformer.layers.{layer}.{name}.weight"
            bits = np.concatenate([r[full].bits for r in ranks], axis)
            assert bits.tobytes() == np.ascontiguousarray(whole[full][1]).tobytes(), full


def test_gguf_shard_that_cuts_a_block(scratch):
    """tiny_llama's mlp.proj and attention.dense rows are one or two blocks of 256."""
    message = refused(
        "convert", "--model_dir", TINY, "--output_dir", scratch / "c", "--tp_size", 4
    )
    assert "block" in message and "256" in message and "transformer.layers" in message
    assert "--dtype" in message or "tp_size" in message
    assert not (scratch / "c").exists()
    assert list(scratch.iterdir()) == []


def test_tokenizer_files_come_along(scratch):
    checkpoint = convert(SMOLLM2, scratch / "c")
    assert (checkpoint / "tokenizer.gguf").exists()
    model = harness.copy_family("llama_tied", scratch / "hf")
    (model / "additional_chat_templates").mkdir()
    written = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tekken.json", "tokenizer.model"]
    written += ["qwen.tiktoken", "chat_template.jinja", "chat_template.json", "additional_chat_templates/tool_use.jinja"]
    for name in written:
        (model / name).write_text('{"of": "%s"}' % name)
    (model / "other").write_text("not of the tokenizer")
    checkpoint = convert(model, scratch / "d")
    assert not (checkpoint / "other").exists()
    for name in [*written, "generation_config.json"]:
        assert (checkpoint / name).read_bytes() == (model / name).read_bytes(), name


# ---- dummy weights ----


def config_only(name, directory):
    directory.mkdir()
    shutil.copy(family(name) / "config.json", directory)
    return directory


def test_dummy_weights(scratch):
    """Names, shapes and dtypes as with weights; the same every time; of deviation 1/sqrt(fan-in)."""
    model = config_only("llama_rope_llama3", scratch / "hf")
    dummy = ["--load_format", "dummy"]
    real = read_tensors(convert(family("llama_rope_llama3"), scratch / "r") / "rank0.safetensors")
    a = read_tensors(convert(model, scratch / "a", *dummy) / "rank0.safetensors")
    b = read_tensors(convert(model, scratch / "b", *dummy) / "rank0.safetensors")
    assert {k: repr(t) for k, t in a.items()} == {k: repr(t) for k, t in real.items()}
    for name, t in a.items():
        assert t.same(b[name]), name
        values = t.values().astype(np.float64)
        if values.ndim == 2:
            # of n draws the deviation's own is 1/sqrt(2n): five of those
            n, scaled = values.size, values * np.sqrt(values.shape[1])
            assert abs(scaled.std() - 1) < 5 / np.sqrt(2 * n) + 2**-8, name
            assert abs(scaled.mean()) < 5 / np.sqrt(n), name
        else:
            assert (values == 1).all(), name
    assert not a["transformer.layers.0.mlp.fc.weight"].same(
        a["transformer.layers.1.mlp.fc.weight"]
    )


def test_dummy_shards_are_parts_of_one_model(scratch):
    model = config_only("llama_mha", scratch / "hf")
    dummy = ["--load_format", "dummy"]
    whole = read_tensors(convert(model, scratch / "a", *dummy) / "rank0.safetensors")
    checkpoint = convert(model, scratch / "b", *dummy, "--tp_size", 2)
    ranks = [read_tensors(checkpoint / f"rank{r}.safetensors") for r in range(2)]
    for name, axis in ("mlp.fc", 0), ("mlp.proj", 1), ("attention.dense", 1):
        name = f"transformer.layers.2.{name}.weight"
        bits = np.concatenate([r[name].bits for r in ranks], axis)
        assert np.array_equal(bits, whole[name].bits), name


# ---- refusals ----


def refused_convert(model, scratch, *args):
    message = refused("convert", "--model_dir", model, "--output_dir", scratch / "c", *args)
    assert not (scratch / "c").exists()
    assert not [p for p in scratch.iterdir() if p.name != "hf"], "something half-made is left"
    return message


def test_missing_tensor(scratch):
    model = harness.copy_family("llama_tied", scratch / "hf")
    tensors = read_model(model)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    harness.write_tensors(model / "model.safetensors", tensors)
    assert "model.layers.1.mlp.up_proj.weight" in refused_convert(model, scratch)


def test_wrong_shape(scratch):
    model = harness.copy_family("llama_tied", scratch / "hf")
    tensors = read_model(model)
    name = "model.layers.0.mlp.down_proj.weight"
    tensors[name] = tensors[name].map(lambda b: b[:, :-1])
    harness.write_tensors(model / "model.safetensors", tensors)
    message = refused_convert(model, scratch)
    assert name in message and "[96, 143]" in message and "[96, 144]" in message


def test_missing_shard(scratch):
    model = harness.copy_family("qwen3_bias", scratch / "hf")
    (model / "model-00003-of-00004.safetensors").unlink()
    assert "model-00003-of-00004.safetensors" in refused_convert(model, scratch)


@pytest.mark.parametrize("keep", [0, 7, 100, 5000, -1])
def test_truncated_safetensors(keep, scratch):
    model = harness.copy_family("llama_tied", scratch / "hf")
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert "model.safetensors" in refused_convert(model, scratch)


@pytest.mark.parametrize("keep", [0, 3, 200, 20000, -1])
def test_truncated_gguf(keep, scratch):
    path = scratch / "hf" / "tiny.gguf"
    path.parent.mkdir()
    path.write_bytes(TINY.read_bytes()[:keep])
    assert "tiny.gguf" in refused_convert(path, scratch)


@pytest.mark.parametrize(
    "change, named",
    [
        ({"architectures": ["GPT5ForCausalLM"]}, "GPT5ForCausalLM"),
        ({"hidden_size": "many"}, "hidden_size"),
        ({"hidden_size": -96}, "hidden_size"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"num_key_value_heads": 2}, "num_key_value_heads"),
        ({"hidden_act": "swish7"}, "swish7"),
        ({"rope_scaling": {"rope_type": "spiral", "factor": 2.0}}, "spiral"),
    ],
    ids=lambda v: None if isinstance(v, dict) else v,
)
def test_config_that_cannot_be(change, named, scratch):
    model = harness.copy_family("llama_tied", scratch / "hf")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, **change}))
    message = refused_convert(model, scratch)
    assert named in message
    if "architectures" in change:
        assert "LlamaForCausalLM" in message  # what could be instead


def test_broken_json_says_where(scratch):
    model = harness.copy_family("llama_tied", scratch / "hf")
    (model / "config.json").write_text('{\n "architectures": ["LlamaForCausalLM",\n}')
    message = refused_convert(model, scratch)
    assert "config.json" in message and "line 3" in message


@pytest.mark.parametrize("tp, pp, named", [(5, 1, "5"), (1, 2, "2"), (2, 1, "2")])
def test_ranks_that_do_not_divide(tp, pp, named, scratch):
    """llama_tied has 3 heads and 3 layers."""
    message = refused_convert(
        family("llama_tied"), scratch, "--tp_size", tp, "--pp_size", pp
    )
    assert named in message and ("tp_size" in message or "pp_size" in message)


def test_no_such_model(scratch):
    assert "nowhere" in refused_convert(scratch / "nowhere", scratch)


def test_output_that_is_not_a_checkpoint_is_left_alone(scratch):
    note = scratch / "home" / "thesis.txt"
    note.parent.mkdir()
    note.write_text("years of work")
    message = refused(
        "convert", "--model_dir", family("llama_tied"), "--output_dir", note.parent
    )
    assert "home" in message
    assert note.read_text() == "years of work"
    assert [p.name for p in scratch.iterdir()] == ["home"]


def test_output_that_is_the_model_is_left_alone(scratch):
    model = harness.copy_family("llama_tied", scratch / "hf")
    before = {p.name: p.read_bytes() for p in model.iterdir()}
    refused("convert", "--model_dir", model, "--output_dir", model)
    assert {p.name: p.read_bytes() for p in model.iterdir()} == before


def test_an_older_checkpoint_is_replaced(scratch):
    convert(harness.make_llama(scratch / "hf"), scratch / "c", "--tp_size", 4)
    convert(family("llama_tied"), scratch / "c")
    assert sorted(p.name for p in (scratch / "c").glob("*.safetensors")) == ["rank0.safetensors"]
    assert sorted(p.name for p in scratch.iterdir()) == ["c", "hf"]
