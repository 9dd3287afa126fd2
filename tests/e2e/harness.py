"""What the end-to-end tests share: paths, running the binary, reading tensors of any dtype."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import safetensors

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
GOLDEN = ROOT / "tests" / "golden"
TRIREME = BUILD / "trireme"
LOGITS = BUILD / "tests" / "logits"
SMOLLM2 = BUILD / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
SCRATCH = BUILD / "e2e"
FAMILIES = sorted(p.name for p in (GOLDEN / "families").iterdir())



def use_binaries(directory):
    """Those of another build than release; before tests are imported."""
    global TRIREME, LOGITS
    TRIREME = ROOT / directory / "trireme"
    LOGITS = ROOT / directory / "tests" / "logits"


def use_scratch(directory):
    """For two runs side by side; before tests are imported."""
    global SCRATCH
    SCRATCH = ROOT / directory


# ---- running ----


def environment(cache=None):
    """The caller's, with a cache of our own: tests leave the user's alone."""
    return {**os.environ, "XDG_CACHE_HOME": str(cache or SCRATCH / "cache")}


class Result:
    def __init__(self, args, process):
        self.args, self.code = args, process.returncode
        self.out, self.err = process.stdout, process.stderr

    def __str__(self):
        return f"{' '.join(self.args)}\nexit {self.code}\nstdout: {self.out}\nstderr: {self.err}"


def execute(program, *args, code=0, timeout=120, cache=None, stdin=""):
    """Runs a program; `code` is the exit status it must have (None: any, but no signal)."""
    args = [str(program), *map(str, args)]
    process = subprocess.run(
        args,
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout,
        env=environment(cache),
        cwd=ROOT,
    )
    result = Result(args, process)
    assert result.code >= 0, f"killed by signal {-result.code}: {result}"
    assert code is None or result.code == code, str(result)
    return result


def trireme(*args, **kwargs):
    return execute(TRIREME, *args, **kwargs)


def refused(*args, **kwargs):
    """Runs trireme, which must fail (1); gives its message: one line, after the command's name."""
    result = trireme(*args, code=1, **kwargs)
    prefix = f"trireme {args[0]}: "
    lines = [line for line in result.err.splitlines() if line.startswith(prefix)]
    assert len(lines) == 1, str(result)
    return lines[0][len(prefix) :]


def build(model, output, *args):
    trireme("build", "--model_dir", model, "--output_dir", output, *args)
    return Path(output)


def run_json(*args, **kwargs):
    """`trireme run ... --json`: its last line, parsed."""
    return json.loads(trireme("run", *args, "--json", **kwargs).out.splitlines()[-1])


def logits(engine, sequences, scratch, *args, generate=0):
    """What the engine says of each sequence: a list of dicts with "logits" [T, V] and, with
    `generate`, "tokens"."""
    ids, out = Path(scratch) / "ids.json", Path(scratch) / "logits.safetensors"
    ids.write_text(json.dumps([[int(i) for i in s] for s in sequences]))
    if generate:
        args = (*args, "--generate", generate)
    execute(LOGITS, engine, ids, out, *args, timeout=300)
    tensors = read_tensors(out)
    out.unlink()
    result = [{"logits": tensors[f"seq{i}.logits"].values()} for i in range(len(sequences))]
    for i, r in enumerate(result):
        if generate:
            r["tokens"] = tensors[f"seq{i}.tokens"].values().tolist()
    return result


# ---- tensors ----

NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}
NUMPY |= {"I16": "<i2", "I8": "<i1", "U8": "<u1", "U64": "<u8", "U32": "<u4", "BOOL": "<u1"}


class Tensor:
    """dtype as safetensors names it, and the stored bits: numpy knows no bfloat16."""

    def __init__(self, dtype, bits):
        self.dtype, self.bits = dtype, bits

    def values(self):
        if self.dtype == "BF16":
            return (self.bits.astype(np.uint32) << 16).view(np.float32)
        return self.bits

    def map(self, function):
        """The same dtype, with bits rearranged."""
        return Tensor(self.dtype, np.ascontiguousarray(function(self.bits)))

    def same(self, other):
        return (
            self.dtype == other.dtype
            and self.bits.shape == other.bits.shape
            and self.bits.tobytes() == other.bits.tobytes()
        )

    def __repr__(self):
        return f"{self.dtype}{list(self.bits.shape)}"


def read_tensors(path):
    """Name -> Tensor.  The safetensors package checks the file; its data is mapped, not copied."""
    with safetensors.safe_open(path, "np") as f:
        names = set(f.keys())
    data = np.memmap(path, np.uint8, "r")
    start = 8 + int(data[:8].view("<u8")[0])
    header = json.loads(bytes(data[8:start]))
    header.pop("__metadata__", None)
    assert header.keys() == names
    result = {}
    for name, t in header.items():
        first, end = t["data_offsets"]
        bits = np.frombuffer(data, NUMPY[t["dtype"]], count=np.prod(t["shape"], dtype=int), offset=start + first)
        assert bits.nbytes == end - first
        result[name] = Tensor(t["dtype"], bits.reshape(t["shape"]))
    return result


def write_tensors(path, tensors):
    names = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "I32": "int32", "U8": "uint8"}
    Path(path).write_bytes(
        safetensors.serialize(
            {
                name: {"dtype": names[t.dtype], "shape": t.bits.shape, "data": t.bits.tobytes()}
                for name, t in tensors.items()
            },
            {"format": "pt"},
        )
    )


def read_model(directory):
    """All tensors of a HF directory, whatever its shards."""
    tensors = {}
    for path in sorted(Path(directory).glob("model*.safetensors")):
        tensors |= read_tensors(path)
    return tensors


def to_bfloat16(values):
    """float32 to bfloat16, to nearest, ties to even; no NaN among them."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return Tensor("BF16", rounded.astype(np.uint16))


# ---- golden vectors and models made here ----


class Golden:
    """expected.safetensors of a golden model: sequences and what transformers says of them."""

    def __init__(self, path):
        self.tensors = {name: t.values() for name, t in read_tensors(path).items()}
        self.n = sum(name.endswith(".input_ids") for name in self.tensors)

    def get(self, i, what):
        return self.tensors[f"seq{i}.{what}"]

    def prompts(self):
        return [self.get(i, "input_ids").tolist() for i in range(self.n)]

    def continued(self):
        """Prompts with their greedy continuations."""
        return [p + self.get(i, "greedy").tolist() for i, p in enumerate(self.prompts())]


def family(name):
    return GOLDEN / "families" / name


def copy_family(name, directory):
    """A family's model files, to be changed."""
    directory = Path(directory)
    directory.mkdir(parents=True)
    for path in family(name).iterdir():
        if path.name != "expected.safetensors":
            shutil.copy(path, directory)
    return directory


def perturbed(name, directory, seed=1):
    """Another model of the same family and dtypes: every weight matrix's rows are shuffled."""
    copy_family(name, directory)
    random = np.random.default_rng(seed)
    for path in sorted(Path(directory).glob("model*.safetensors")):
        tensors = read_tensors(path)
        for key, t in tensors.items():
            if t.bits.ndim == 2:
                tensors[key] = t.map(lambda b: b[random.permutation(len(b))])
        write_tensors(path, tensors)
    return Path(directory)


def make_llama(directory, **changes):
    """A HF directory of a random llama: by default 8 heads over 2, 4 layers and a vocabulary that
    neither 2 nor 4 divides."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "bfloat16",
        "vocab_size": 293,
        "hidden_size": 64,
        "intermediate_size": 144,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "hidden_act": "silu",
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "attention_bias": True,
        "mlp_bias": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        **changes,
    }
    directory = Path(directory)
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config))
    random = np.random.default_rng(3)
    tensors = {}

    def add(name, *shape):
        values = random.standard_normal(shape) / np.sqrt(shape[-1])
        values = 1 + values if name.endswith("norm") else values
        tensors[name + ".weight"] = to_bfloat16(values.astype(np.float32))

    def add_linear(name, rows, columns, bias):
        add(name, rows, columns)
        if bias:
            tensors[name + ".bias"] = to_bfloat16(random.standard_normal(rows).astype(np.float32))

    hidden, inner = config["hidden_size"], config["intermediate_size"]
    q = config["num_attention_heads"] * config["head_dim"]
    kv = config["num_key_value_heads"] * config["head_dim"]
    add("model.embed_tokens", config["vocab_size"], hidden)
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        add(layer + "input_layernorm", hidden)
        for name, rows in ("q", q), ("k", kv), ("v", kv):
            add_linear(f"{layer}self_attn.{name}_proj", rows, hidden, config["attention_bias"])
        add_linear(layer + "self_attn.o_proj", hidden, q, config["attention_bias"])
        add(layer + "post_attention_layernorm", hidden)
        add_linear(layer + "mlp.gate_proj", inner, hidden, config["mlp_bias"])
        add_linear(layer + "mlp.up_proj", inner, hidden, config["mlp_bias"])
        add_linear(layer + "mlp.down_proj", hidden, inner, config["mlp_bias"])
    add("model.norm", hidden)
    if not config["tie_word_embeddings"]:
        add("lm_head", config["vocab_size"], hidden)
    write_tensors(directory / "model.safetensors", tensors)
    return directory
