"""The library as an outside user has it: installed, found with pkg-config, used from C and C++, and extended by
a plugin that is built out of tree.

Runs what `make` built; from the repository root: build/venv/bin/python -m pytest tests/e2e"""

import json
import math
import os
import pathlib
import re
import shutil
import struct
import subprocess

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
TRIREME = BUILD / "trireme"
FAMILIES = ROOT / "tests/golden/families"
SMOLLM2 = BUILD / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
TINY_GGUF = ROOT / "tests/golden/gguf/tiny_llama.gguf"
EXAMPLES = ROOT / "examples"
HERE = pathlib.Path(__file__).resolve().parent
HEADERS = ["types", "graph", "engine", "executor", "plugin", "text"]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def run(*command, ok=True, **options):
    done = subprocess.run([str(c) for c in command], text=True, capture_output=True, timeout=300, **options)
    if ok:
        assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    else:
        # A refusal is an exit code of 1 or 2 and a reason, never a signal.
        assert done.returncode in (1, 2), f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def read_safetensors(path):
    """Name to array; bfloat16, which numpy lacks, as float32."""
    data = path.read_bytes()
    n = struct.unpack_from("<Q", data)[0]
    types = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I32": "<i4", "U8": "u1", "U64": "<u8"}
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + n]).items():
        if name == "__metadata__":
            continue
        first, end = entry["data_offsets"]
        array = np.frombuffer(data[8 + n + first : 8 + n + end], dtype=types[entry["dtype"]])
        if entry["dtype"] == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = array.reshape(entry["shape"])
    return tensors


def golden(family, sequence):
    expected = read_safetensors(FAMILIES / family / "expected.safetensors")
    return expected[f"seq{sequence}.input_ids"].tolist(), expected[f"seq{sequence}.greedy"].tolist()


def ints(line):
    return [int(word) for word in line.split()]


# ---- the installed library ----


class Stage:
    """An installation under a prefix of its own, and programs compiled against it."""

    def __init__(self, prefix, work):
        self.prefix, self.work = prefix, work
        pc = list(prefix.rglob("trireme.pc"))
        assert len(pc) == 1, "one trireme.pc is installed"
        self.pkg_config_path = str(pc[0].parent)
        libraries = list(prefix.rglob("libtrireme.so"))
        assert len(libraries) == 1
        self.library = libraries[0]
        self.env = dict(os.environ, LD_LIBRARY_PATH=str(self.library.parent))

    def flags(self, what):
        env = dict(os.environ, PKG_CONFIG_PATH=self.pkg_config_path)
        return run("pkg-config", what, "trireme", env=env).stdout.split()

    def compile(self, source, *extra, compiler="cc", name=None):
        out = self.work / (name or pathlib.Path(source).stem)
        cflags, libs = self.flags("--cflags"), self.flags("--libs")
        run(compiler, *extra, *WARNINGS, "-O1", *cflags, source, "-o", out, *libs, "-lm")
        return out

    def run(self, program, *arguments, **options):
        return run(program, *arguments, env=self.env, **options)


@pytest.fixture(scope="session")
def stage(tmp_path_factory):
    assert TRIREME.exists(), "build/trireme is missing: run make"
    prefix = BUILD / "stage"
    shutil.rmtree(prefix, ignore_errors=True)
    run("cmake", "--install", BUILD, "--prefix", prefix)
    return Stage(prefix, tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="session")
def generate(stage):
    program = stage.compile(EXAMPLES / "generate.c")

    def call(engine, prompt, *options, n=32, ok=True):
        done = stage.run(program, "-n", n, *options, engine, *prompt, ok=ok)
        return ints(done.stdout) if ok else done.stderr

    return call


def test_text_alone(stage):
    """examples/chat_prompt.c: what `render-template` and `tokenize` print, and the same text again as a stream."""
    program = stage.compile(EXAMPLES / "chat_prompt.c")
    question = 'Say "<|im_end|>"\n\\ in one w\u00f6rd'
    shown = stage.run(program, SMOLLM2, question).stdout
    messages = json.dumps([{"role": "user", "content": question}])
    render = [TRIREME, "render-template", SMOLLM2, "--add_generation_prompt", "--json", "--ids"]
    expected = json.loads(subprocess.run(render, input=messages, capture_output=True, text=True, check=True).stdout)
    ids = " ".join(map(str, expected["ids"]))
    assert shown == f"{expected['text']}\n{ids}\n{expected['text']}"
    assert "no such file" in stage.run(program, stage.work / "nothing", "Hi", ok=False).stderr.lower()


def float32_engine(generate, tmp_path_factory, family):
    engine = tmp_path_factory.mktemp("engines") / family
    prompt, greedy = golden(family, 0)
    assert generate(engine, prompt, "-m", FAMILIES / family, "-d", "float32") == greedy
    return engine


@pytest.fixture(scope="session")
def llama(generate, tmp_path_factory):
    return float32_engine(generate, tmp_path_factory, "llama_mha")


@pytest.fixture(scope="session")
def qwen(generate, tmp_path_factory):
    return float32_engine(generate, tmp_path_factory, "qwen2")


def test_exports_nothing_but_its_interface(stage):
    names = [line.split()[-1] for line in run("nm", "-D", "--defined-only", stage.library).stdout.splitlines()]
    assert len(names) > 30
    assert [n for n in names if not n.startswith("tri_")] == []
    declared = "".join((stage.prefix / f"include/trireme/{h}.h").read_text() for h in HEADERS)
    for name in re.findall(r"TRI_API[^;(]*?\b(tri_\w+)\(", declared):
        assert name in names, f"{name} is declared and not exported"


def test_installed_names(stage):
    version = run(stage.prefix / "bin/trireme", "--version", env=stage.env).stdout
    assert re.search(r"\d+\.\d+\.\d+", version)
    for name in ("trtllm-build", "trtllm-refit"):
        assert (stage.prefix / "bin" / name).exists()
        assert "usage" in run(stage.prefix / "bin" / name, "--help", env=stage.env).stdout


@pytest.mark.parametrize("header", HEADERS)
def test_each_header_stands_alone(stage, header):
    line = f"#include <trireme/{header}.h>\n"
    for language, standard in (("c", "c17"), ("c++", "c++11"), ("c++", "c++17")):
        command = ["cc", "-x", language, f"-std={standard}", *WARNINGS, *stage.flags("--cflags"), "-fsyntax-only", "-"]
        run(*command, input=line)


def test_from_cpp(stage):
    stage.run(stage.compile(HERE / "headers.cpp", "-std=c++17", compiler="c++"))


def test_generate_gives_the_golden_tokens(generate, llama):
    for sequence in (1, 2):
        prompt, greedy = golden("llama_mha", sequence)
        assert generate(llama, prompt) == greedy


def test_generate_says_what_is_wrong(generate, llama, tmp_path):
    assert "9999" in generate(llama, [9999], ok=False)
    assert "no/such/engine" in generate(tmp_path / "no/such/engine", [1], ok=False)
    assert "no/such/model" in generate(tmp_path / "e", [1], "-m", tmp_path / "no/such/model", ok=False)
    assert not (tmp_path / "e").exists()
    wrong = generate(tmp_path / "e", [1], "-m", FAMILIES / "llama_mha", "-d", "float33", ok=False)
    assert "float33" in wrong and "float32" in wrong


def test_a_model_of_ones_own(stage, tmp_path):
    program = stage.compile(EXAMPLES / "own_model.c")
    done = stage.run(program, tmp_path / "own.engine")
    assert done.stdout.count("0 of 24 tokens") == 2
    inspected = run(TRIREME, "inspect", tmp_path / "own.engine", "--weights").stdout
    assert "OwnModel" in run(TRIREME, "inspect", tmp_path / "own.engine").stdout
    for name in ("tokens.weight", "positions.weight", "layers.1.fc.bias"):
        assert name in inspected


def test_a_wrong_model_of_ones_own_is_noticed(stage, tmp_path):
    """The check inside own_model.c can fail: a window of 6 where the loops have 5."""
    source = (EXAMPLES / "own_model.c").read_text()
    mutated = source.replace(".window = window[i]}", ".window = window[i] ? 6 : 0}")
    assert mutated != source
    (tmp_path / "mutated.c").write_text(mutated)
    program = stage.compile(tmp_path / "mutated.c")
    stage.run(program, tmp_path / "own.engine", ok=False)


def test_two_engines_in_one_process(stage, llama, qwen):
    program = stage.compile(HERE / "two_engines.c")
    cases = [golden("llama_mha", 1), golden("llama_mha", 2), golden("qwen2", 1), golden("qwen2", 2)]
    prompts = "".join(" ".join(map(str, prompt)) + "\n" for prompt, _ in cases)
    done = stage.run(program, llama, qwen, 32, input=prompts)
    assert [ints(line) for line in done.stdout.splitlines()] == [greedy for _, greedy in reversed(cases)]


# ---- a plugin, out of tree ----

ALPHA, LIMIT = 1.702, 0.25


def build_plugin(stage, source, out, **defaults):
    """As a user would: cmake on the plugin's own project, with the installed headers."""
    options = [f"-D{name}={value}" for name, value in defaults.items()]
    run("cmake", "-S", source, "-B", out, f"-DTRIREME_INCLUDE_DIR={stage.prefix}/include", *options)
    run("cmake", "--build", out)
    library = out / "swish_limit.so"
    needed = re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", library).stdout)
    assert not [n for n in needed if "trireme" in n], "a plugin links nothing of ours"
    return library


@pytest.fixture(scope="session")
def plugin(stage, tmp_path_factory):
    """Narrow enough that it changes what models say."""
    out = tmp_path_factory.mktemp("plugin_narrow")
    return build_plugin(stage, EXAMPLES / "plugin", out, ALPHA=ALPHA, LIMIT=LIMIT)


@pytest.fixture(scope="session")
def plain_plugin(stage, tmp_path_factory):
    """Its fields at alpha 1 and no limit in reach: a SiLU."""
    return build_plugin(stage, EXAMPLES / "plugin", tmp_path_factory.mktemp("plugin_plain"), ALPHA=1, LIMIT="1e30")


@pytest.fixture(scope="session")
def plugin_engine(plugin, tmp_path_factory):
    engine = tmp_path_factory.mktemp("engines") / "with_plugin"
    model = FAMILIES / "llama_mha"
    run(TRIREME, "build", "--model_dir", model, "--output_dir", engine, "--dtype", "float32", "--plugin", plugin)
    return engine


class Llama:
    """The forward pass of a small LlamaForCausalLM, with an activation of one's choice."""

    def __init__(self, path, activation):
        self.config = json.loads((path / "config.json").read_text())
        self.weights = read_safetensors(path / "model.safetensors")
        self.activation = activation

    def norm(self, x, name):
        eps = self.config["rms_norm_eps"]
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * self.weights[name + ".weight"]

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].astype(np.float64).T

    def heads(self, x, name, n):
        return self.linear(x, name).reshape(len(x), n, -1).transpose(1, 0, 2)

    def rotate(self, x):
        half = x.shape[-1] // 2
        angles = np.outer(np.arange(x.shape[1]), self.config["rope_theta"] ** (-np.arange(half) / half))
        a, b = x[..., :half], x[..., half:]
        cos, sin = np.cos(angles), np.sin(angles)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    def attention(self, x, name):
        n, c = self.config["num_attention_heads"], self.config
        assert c["num_key_value_heads"] == n and not c["rope_scaling"]
        q, k, v = (self.heads(x, f"{name}.{p}_proj", n) for p in "qkv")
        scores = self.rotate(q) @ self.rotate(k).transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        scores += np.triu(np.full(scores.shape[1:], -np.inf), 1)
        p = np.exp(scores - scores.max(-1, keepdims=True))
        y = (p / p.sum(-1, keepdims=True)) @ v
        return self.linear(y.transpose(1, 0, 2).reshape(len(x), -1), name + ".o_proj")

    def logits(self, ids):
        x = self.weights["model.embed_tokens.weight"].astype(np.float64)[ids]
        for i in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{i}"
            x = x + self.attention(self.norm(x, layer + ".input_layernorm"), layer + ".self_attn")
            h = self.norm(x, layer + ".post_attention_layernorm")
            gate, up = self.linear(h, layer + ".mlp.gate_proj"), self.linear(h, layer + ".mlp.up_proj")
            x = x + self.linear(self.activation(gate) * up, layer + ".mlp.down_proj")
        return self.linear(self.norm(x[-1:], "model.norm"), "lm_head")[0]

    def greedy(self, ids, n):
        """Tokens, and the smallest lead of a best logit over the second."""
        ids, margin = list(ids), math.inf
        for _ in range(n):
            logits = self.logits(ids)
            second, first = np.sort(logits)[-2:]
            margin = min(margin, first - second)
            ids.append(int(logits.argmax()))
        return ids[-n:], margin


def silu(x):
    return x / (1 + np.exp(-x))


def swish_limit(x):
    z = np.minimum(x, LIMIT)
    return z / (1 + np.exp(-ALPHA * z))


# Float32 sums in another order move these logits by less than 1e-4: a lead of ten times that decides.
MARGIN = 1e-3


@pytest.fixture(scope="session")
def limited():
    """What llama_mha says with the plugin's activation: prompt and tokens of each sequence."""
    plain, narrow = (Llama(FAMILIES / "llama_mha", f) for f in (silu, swish_limit))
    cases = []
    for sequence in range(3):
        prompt, greedy = golden("llama_mha", sequence)
        assert plain.greedy(prompt, 32)[0] == greedy, "the forward pass above is transformers'"
        tokens, margin = narrow.greedy(prompt, 32)
        if margin > MARGIN:
            assert tokens != greedy
            cases.append((prompt, tokens))
    assert len(cases) >= 2
    return cases


def test_plugin_computes_its_op(generate, plugin, plugin_engine, limited):
    for prompt, tokens in limited:
        assert generate(plugin_engine, prompt, "-p", plugin) == tokens


def test_plugin_as_a_silu_changes_nothing(generate, plain_plugin, tmp_path):
    model = ["-m", FAMILIES / "llama_mha", "-d", "float32"]
    for sequence in range(3):
        prompt, greedy = golden("llama_mha", sequence)
        assert generate(tmp_path / "e", prompt, "-p", plain_plugin, *(model if sequence == 0 else [])) == greedy
    assert "plugin.swish_limit" in run(TRIREME, "inspect", tmp_path / "e", "--graph").stdout


def test_fields_live_in_the_engine(generate, plain_plugin, plugin_engine, limited):
    """Another build of the plugin, with other defaults, computes what the engine says."""
    prompt, tokens = limited[0]
    assert generate(plugin_engine, prompt, "-p", plain_plugin) == tokens


def test_engine_names_the_op(plugin, plugin_engine):
    layers = json.loads((FAMILIES / "llama_mha/config.json").read_text())["num_hidden_layers"]
    graph = run(TRIREME, "inspect", plugin_engine, "--graph").stdout
    used = re.findall(r"plugin\.swish_limit\b.*", graph)
    assert len(used) == layers
    assert all(f"limit={LIMIT}" in line and f"alpha={ALPHA}" in line for line in used)
    assert "activation(" not in graph, "silu was replaced before anything was fused with it"
    plan = read_safetensors(plugin_engine / "rank0.engine")["plan"].tobytes().decode()
    assert plan.count("swish_limit swish_limit_cpu f32") == layers
    run(TRIREME, "inspect", plugin_engine)
    for how in "--plan", "--dot":
        without = run(TRIREME, "inspect", plugin_engine, how, ok=False).stderr
        assert "swish_limit" in without and "--plugin" in without
        assert "swish_limit" in run(TRIREME, "inspect", plugin_engine, how, "--plugin", plugin).stdout


def test_a_path_without_a_slash(stage, generate, plugin, plugin_engine, limited):
    """It is a file in the current directory, not one of the system's libraries."""
    prompt, tokens = limited[0]
    program = stage.work / "generate"
    done = stage.run(program, "-n", 32, "-p", plugin.name, plugin_engine, *prompt, cwd=plugin.parent)
    assert ints(done.stdout) == tokens


OWN_GRAPH = """#include <stdio.h>
#include <string.h>
#include <trireme/engine.h>
/* Two weights and the plugin's op between them, by name. */
static tri_status read(void *user, const char *name, void *out, int64_t n_bytes, tri_error *err) {
    (void)user, (void)name, (void)err;
    float *w = out;
    for (int64_t i = 0; i < n_bytes / 4; i++) w[i] = (float)(i % 7) - 3;
    return TRI_OK;
}
int main(int argc, char **argv) { /* ENGINE PLUGIN */
    (void)argc;
    const char *plugins[] = {argv[2]};
    tri_error err = {0};
    tri_graph *g;
    if (tri_graph_create(&g, "Own", &err)) goto failed;
    if (tri_graph_load_plugins(g, plugins, 1, &err)) goto failed;
    tri_graph_declare_weight(g, "table", TRI_F32, (const int64_t[]){32, 16}, 2);
    tri_value *x = tri_embedding(g, tri_input_tokens(g), tri_weight(g, "table"));
    x = tri_plugin_op_value(g, "swish_limit", &x, 1, &(tri_field){.name = "limit", .kind = 1, .f64 = 2}, 1);
    x = tri_select_rows(g, x, tri_input_rows(g));
    tri_output_logits(g, tri_matmul(g, x, tri_weight(g, "table")));
    if (tri_graph_finish(g, &err)) goto failed;
    if (tri_build_graph(g, read, NULL, &(tri_build_options){.struct_size = sizeof(tri_build_options),
            .output_dir = argv[1], .plugins = plugins, .n_plugins = 1, .max_seq_len = 64}, &err)) goto failed;
    tri_graph_destroy(g);
    return 0;
failed:
    fprintf(stderr, "%s\\n", err.message);
    return 1;
}
"""


def test_a_graph_of_ones_own_uses_the_op(stage, generate, plugin, tmp_path):
    (tmp_path / "own.c").write_text(OWN_GRAPH)
    engine = tmp_path / "own_graph"
    stage.run(stage.compile(tmp_path / "own.c"), engine, plugin)
    assert "limit=2" in run(TRIREME, "inspect", engine, "--graph").stdout
    table = (np.arange(512) % 7 - 3).astype(np.float32).reshape(32, 16)
    z = np.minimum(table[5], 2)
    best = int(np.argmax(table @ (z / (1 + np.exp(-ALPHA * z)))))
    assert generate(engine, [5], "-p", plugin)[0] == best


def test_other_activations_stay(plugin, tmp_path):
    """The plugin's match takes silu alone: Gemma's tanh GELU is left as it is."""
    engine = tmp_path / "gemma2"
    run(TRIREME, "build", "--model_dir", FAMILIES / "gemma2", "--output_dir", engine, "--plugin", plugin)
    graph = run(TRIREME, "inspect", engine, "--graph").stdout
    assert "swish_limit" not in graph and "gelu_tanh" in graph


def test_shards_run_the_plugin(plugin, limited, generate, tmp_path):
    engine = tmp_path / "tp2"
    command = [TRIREME, "build", "--model_dir", FAMILIES / "llama_mha", "--output_dir", engine]
    run(*command, "--dtype", "float32", "--tp_size", 2, "--plugin", plugin)
    prompt, tokens = limited[0]
    assert generate(engine, prompt, "-p", plugin) == tokens


def test_refit_keeps_the_plugin(stage, generate, plugin, limited, tmp_path):
    """Stripped of its weights, and filled again, the engine is what it would have been."""
    stripped = tmp_path / "stripped"
    model = FAMILIES / "llama_mha"
    command = [TRIREME, "build", "--model_dir", model, "--output_dir", stripped, "--dtype", "float32"]
    run(*command, "--strip_plan", "--plugin", plugin)
    refit = [TRIREME, "refit", "--engine_dir", stripped, "--model_dir", model]
    prompt, tokens = limited[0]
    assert "refit" in generate(stripped, prompt, "-p", plugin, ok=False)
    without = run(*refit, ok=False).stderr
    assert "swish_limit" in without and "--plugin" in without
    run(*refit, "--plugin", plugin)
    assert generate(stripped, prompt, "-p", plugin) == tokens


KERNEL = """#include <trireme/plugin.h>
#include <math.h>
/* x [T, 2C]: y = silu(x[:, :C]) * x[:, C:], all of it on thread 0. */
static int32_t create(const tri_plugin_desc *desc, void **state) {
    *state = (void *)(intptr_t)desc->outputs[0].dims[1];
    return 0;
}
static void launch(void *state, const tri_plugin_launch *l) {
    int64_t columns = (intptr_t)state;
    for (int64_t r = 0; l->thread == 0 && r < l->step->extents.n_tokens; r++) {
        const float *x = (const void *)((char *)l->inputs[0].data + r * l->inputs[0].row_stride_bytes);
        float *y = (void *)((char *)l->outputs[0].data + r * l->outputs[0].row_stride_bytes);
        for (int64_t c = 0; c < columns; c++) y[c] = SCALE * x[c] / (1 + expf(-x[c])) * x[columns + c];
    }
}
static const tri_plugin_kernel kernel = {.struct_size = sizeof kernel, .op = "gated_activation",
    .name = "gated_mine", .device = "cpu", .numerics = "f32", .isa = "", .create = create, .launch = launch};
const int32_t tri_plugin_abi = TRI_PLUGIN_ABI;
int32_t tri_plugin_init(const tri_plugin_host *host) { return host->register_kernel(host->registry, &kernel); }
"""


def test_a_kernel_for_a_built_in_op(stage, generate, tmp_path):
    prompt, greedy = golden("llama_mha", 0)
    model = ["-m", FAMILIES / "llama_mha", "-d", "float32"]
    right = shared(stage, tmp_path, "#define SCALE 1\n" + KERNEL, "right.so")
    assert generate(tmp_path / "e", prompt, "-p", right, *model) == greedy
    plan = read_safetensors(tmp_path / "e" / "rank0.engine")["plan"].tobytes().decode()
    assert plan.count("gated_activation gated_mine") == 3
    # Without it the engine still runs, on a kernel of ours.
    assert generate(tmp_path / "e", prompt) == greedy
    wrong = shared(stage, tmp_path, "#define SCALE 2\n" + KERNEL, "wrong.so")
    assert generate(tmp_path / "e", prompt, "-p", wrong) != greedy


# ---- trireme run ----


def answer(path, cache, *options):
    command = [TRIREME, "run", path, "--raw", "--json", "--prompt", "the cat sat on", "--max_tokens", 24, *options]
    done = run(*command, env=dict(os.environ, XDG_CACHE_HOME=str(cache)))
    return json.loads(done.stdout.splitlines()[-1])


def test_run_with_a_plugin(plugin, plain_plugin, generate, tmp_path):
    engine, cache = tmp_path / "engine", tmp_path / "cache"
    run(TRIREME, "build", "--model_dir", TINY_GGUF, "--output_dir", engine, "--plugin", plugin)
    built = answer(engine, cache, "--plugin", plugin)
    ids = generate(engine, built["prompt_ids"], "-p", plugin, n=24)
    assert built["output_ids"][: len(ids)] == ids
    # The cache holds one engine for each: none takes another's place.
    assert answer(TINY_GGUF, cache, "--plugin", plugin)["output_ids"] == built["output_ids"]
    assert answer(TINY_GGUF, cache)["output_ids"] != built["output_ids"]
    assert answer(TINY_GGUF, cache, "--plugin", plain_plugin)["output_ids"] != built["output_ids"]
    assert answer(TINY_GGUF, cache, "--plugin", plugin)["output_ids"] == built["output_ids"]


# ---- plugins that cannot be used ----


def shared(stage, tmp_path, source, name="broken.so"):
    (tmp_path / "broken.c").write_text(source)
    out = tmp_path / name
    run("cc", "-shared", "-fPIC", *stage.flags("--cflags"), tmp_path / "broken.c", "-o", out, "-lm")
    return out


def open_error(plugin_engine, *libraries):
    command = [TRIREME, "run", plugin_engine, "--raw", "--prompt", "x"]
    for library in libraries:
        command += ["--plugin", library]
    return run(*command, ok=False).stderr


def test_engine_without_its_plugin(generate, plugin_engine):
    error = open_error(plugin_engine)
    assert "swish_limit" in error and "--plugin" in error
    error = generate(plugin_engine, [1], ok=False)
    assert "swish_limit" in error and "--plugin" in error


def test_another_abi(stage, plugin_engine, tmp_path):
    library = shared(stage, tmp_path, "const int tri_plugin_abi = 77; int tri_plugin_init(void *h) { return 0; }\n")
    error = open_error(plugin_engine, library)
    assert "broken.so" in error and "77" in error and re.search(r"ABI\D*\b1\b", error)


def test_no_such_library(plugin_engine, tmp_path):
    error = open_error(plugin_engine, tmp_path / "absent.so")
    assert "absent.so" in error
    model = FAMILIES / "llama_mha"
    command = [TRIREME, "build", "--model_dir", model, "--output_dir", tmp_path / "e", "--plugin", "absent.so"]
    assert "absent.so" in run(*command, ok=False, cwd=tmp_path).stderr
    assert not (tmp_path / "e").exists()


def test_a_library_that_is_no_plugin(stage, plugin_engine, tmp_path):
    error = open_error(plugin_engine, shared(stage, tmp_path, "int nothing;\n"))
    assert "broken.so" in error and "tri_plugin_abi" in error
    (tmp_path / "text.so").write_text("not a library\n")
    assert "text.so" in open_error(plugin_engine, tmp_path / "text.so")
    no_init = "#include <trireme/plugin.h>\nconst int32_t tri_plugin_abi = TRI_PLUGIN_ABI;\n"
    assert "tri_plugin_init" in open_error(plugin_engine, shared(stage, tmp_path, no_init, "no_init.so"))


def test_a_plugin_that_refuses(stage, plugin_engine, tmp_path):
    source = """#include <trireme/plugin.h>
const int32_t tri_plugin_abi = TRI_PLUGIN_ABI;
int32_t tri_plugin_init(const tri_plugin_host *host) {
    host->fail(host->registry, "not on a Sunday");
    return 1;
}
"""
    error = open_error(plugin_engine, shared(stage, tmp_path, source))
    assert "broken.so" in error and "not on a Sunday" in error


def test_a_plugin_in_cpp(stage, plugin_engine, tmp_path):
    (tmp_path / "plugin.cpp").write_text("""#include <trireme/plugin.h>
extern "C" TRI_PLUGIN_EXPORT const int32_t tri_plugin_abi;
const int32_t tri_plugin_abi = TRI_PLUGIN_ABI;
extern "C" TRI_PLUGIN_EXPORT int32_t tri_plugin_init(const tri_plugin_host *host) {
    host->fail(host->registry, "from C++");
    return 1;
}
""")
    flags = ["-shared", "-fPIC", "-fvisibility=hidden", *WARNINGS, *stage.flags("--cflags")]
    run("c++", "-std=c++17", *flags, tmp_path / "plugin.cpp", "-o", tmp_path / "cpp.so")
    assert "from C++" in open_error(plugin_engine, tmp_path / "cpp.so")


def changed_plugin(stage, tmp_path, *changes):
    """Built from its source with pieces of text changed: before, after, before, after..."""
    source = tmp_path / "changed"
    shutil.copytree(EXAMPLES / "plugin", source)
    text = (source / "swish_limit.c").read_text()
    for before, after in zip(changes[::2], changes[1::2]):
        assert text.count(before) == 1
        text = text.replace(before, after)
    (source / "swish_limit.c").write_text(text)
    return build_plugin(stage, source, tmp_path / "changed_build")


KEEPING = """static int64_t keep(const tri_plugin_field *f, int32_t n, void *out, int64_t room) {
    (void)f, (void)n;
    if (out && room >= 5) memcpy(out, "table", 5);
    return 5;
}
static int32_t check(const void *bytes, int64_t n) { return n != 5 || memcmp(bytes, EXPECTED, 5) != 0; }
/* The kernel wants them too. */
static int32_t create(const tri_plugin_desc *desc, void **state);
static int32_t create_kept(const tri_plugin_desc *desc, void **state) {
    return desc->n_kept_bytes == 5 && memcmp(desc->kept, "table", 5) == 0 ? create(desc, state) : 1;
}
static const tri_plugin_op op = {
    .serialise = keep, .deserialise = check,
"""


def test_bytes_that_an_op_keeps(stage, generate, limited, tmp_path):
    """serialise's bytes are in the file with each use, and reach the kernel; deserialise may refuse them."""
    create = ".create = create,", ".create = create_kept,"
    before = "static const tri_plugin_op op = {\n"
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    good = changed_plugin(stage, tmp_path / "a", before, '#define EXPECTED "table"\n' + KEEPING, *create)
    other = changed_plugin(stage, tmp_path / "b", before, '#define EXPECTED "other"\n' + KEEPING, *create)
    engine, model = tmp_path / "engine", FAMILIES / "llama_mha"
    run(TRIREME, "build", "--model_dir", model, "--output_dir", engine, "--plugin", good)
    kept = {n: t.tobytes() for n, t in read_safetensors(engine / "rank0.engine").items() if n.startswith("plugin.")}
    assert len(kept) == 3 and set(kept.values()) == {b"table"}
    assert all(name in run(TRIREME, "inspect", engine, "--json").stdout for name in kept)
    assert re.search(r"plugin\.\S* +3 x +code", run(TRIREME, "inspect", engine).stdout)
    assert len(generate(engine, limited[0][0], "-p", good)) == 32
    assert "swish_limit" in generate(engine, limited[0][0], "-p", other, ok=False)


def test_another_version_of_the_op(stage, plugin_engine, tmp_path):
    error = open_error(plugin_engine, changed_plugin(stage, tmp_path, ".version = 1,", ".version = 2,"))
    assert "swish_limit" in error and "1" in error and "2" in error and "version" in error


def test_a_name_that_is_taken(stage, plugin, plugin_engine, tmp_path):
    error = open_error(plugin_engine, changed_plugin(stage, tmp_path, '.name = "swish_limit",', '.name = "linear",'))
    assert "linear" in error and "built-in" in error
    assert "swish_limit" in open_error(plugin_engine, plugin, plugin)


def test_a_kernel_that_cannot(stage, plugin, plugin_engine, tmp_path):
    """No kernel of the plugin fits: the reason is the kernel's own."""
    library = changed_plugin(stage, tmp_path, "dtype == TRI_F32 && desc->outputs", "dtype == TRI_F64 && desc->outputs")
    command = [TRIREME, "build", "--model_dir", FAMILIES / "llama_mha", "--output_dir", tmp_path / "e"]
    error = run(*command, "--plugin", library, ok=False).stderr
    assert "swish_limit_cpu" in error and "computes float32 only" in error
