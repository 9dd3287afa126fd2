"""The command line: help, flags, the names scripts call, prompts from everywhere, chats, Ctrl-C."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

import pytest

import harness
from harness import SMOLLM2, TRIREME, execute, family, refused, run_json, trireme

COMMANDS = ["convert", "build", "refit", "inspect", "run", "tokenize", "detokenize", "bench"]

# ---- help and flags ----


def test_help():
    text = trireme("--help").out
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", text, re.M)
    assert "examples" in text
    assert trireme("help").out == trireme("-h").out == text
    assert trireme(code=2).out == text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_commands(command):
    text = trireme(command, "--help").out
    assert f"usage: trireme {command}" in text and "examples" in text
    assert trireme(command, "-h").out == trireme("help", command).out == text
    assert not re.search(" $", text, re.M)
    assert max(map(len, text.splitlines())) <= 100
    flags = set(re.findall(r"^  --(\w+)", text, re.M))
    assert flags
    for example in re.findall(rf"^  (?:trireme {command}|trtllm-{command}) (.*)$", text, re.M):
        used = set(re.findall(r"--(\w+)", example))
        assert used <= set(re.findall(r"--(\w+)", text)), example


def test_help_names_the_flags_of_the_design():
    wanted = {
        "convert": "model_dir output_dir dtype tp_size pp_size load_format",
        "build": "checkpoint_dir model_dir output_dir target strip_plan plugin dtype "
        "activation_dtype max_batch_size max_num_tokens max_seq_len",
        "inspect": "weights graph plan json dot",
        "refit": "engine_dir checkpoint_dir output_dir",
        "run": "prompt prompt_file max_tokens temperature top_k top_p min_p repetition_penalty "
        "seed stop raw json dtype activation_dtype",
        "tokenize": "ids pieces json jsonl add_special_tokens parse_special threads",
        "detokenize": "skip_special jsonl",
        "bench": "input_len output_len batch json",
    }
    for command, flags in wanted.items():
        text = trireme(command, "--help").out
        for flag in flags.split():
            assert re.search(rf"^  --{flag}\b", text, re.M), (command, flag)


def test_version():
    assert re.fullmatch(r"trireme \d+\.\d+\.\d+\n", trireme("--version").out)


@pytest.mark.parametrize(
    "args, suggestion",
    [
        (["biuld"], "'build'"),
        (["help", "biuld"], "'build'"),
        (["run", "x", "--max_token", "3"], "--max_tokens"),
        (["build", "--ouput_dir", "x"], "--output_dir"),
        (["convert", "--model-dri", "x"], "--model_dir"),
        (["inspect", "x", "--weight"], "--weights"),
    ],
)
def test_unknown_names_the_nearest(args, suggestion):
    result = trireme(*args, code=2)
    assert f"did you mean {suggestion}?" in result.err
    assert result.out == ""


@pytest.mark.parametrize(
    "args, named",
    [
        (["run"], "usage"),
        (["run", "a", "b"], "'b'"),
        (["run", "a", "-p", "b"], "-p"),
        (["run", "x", "--prompt"], "--prompt"),
        (["run", "x", "--max_tokens", "many"], "'many'"),
        (["run", "x", "--max_tokens", "-3"], "'-3'"),
        (["run", "x", "--top_p", "nan"], "'nan'"),
        (["run", "x", "--prompt", "a", "--prompt_file", "b"], "--prompt_file"),
        (["run", "x", "--json"], "--json"),
        (["build", "--output_dir", "x"], "--model_dir"),
        (["build", "--model_dir", "x"], "--output_dir"),
        (["run", "x", "--prompt", "a", "--stop", ""], "--stop is empty"),
        (["run", "x", "--prompt", "a", "--raw", "--system", "b"], "--system"),
        (["run", "x", "--seed", "-5"], "from 0 to 18446744073709551615"),
        (["run", "x", "--threads", "1025"], "from 1 to 1024"),
        (["build", "--model_dir", "x", "--output_dir", "y", "--max_beam_width", "4"], "beam search"),
        (["build", "--model_dir", "x", "--output_dir", "y", "--lora_plugin", "auto"], "LoRA"),
        (["refit", "--engine_dir", "x"], "--checkpoint_dir"),
    ],
)
def test_asked_wrongly(args, named):
    """Exit status 2, what is wrong on stderr, nothing on stdout."""
    result = trireme(*args, code=2)
    assert named in result.err and result.out == ""


def test_dashes_equals_and_switches(scratch):
    trireme(
        "build",
        f"--model-dir={family('llama_tied')}",
        f"--output-dir={scratch / 'e'}",
        "--strip-plan=false",
        "--max-batch-size=3",
    )
    trireme("inspect", scratch / "e", "--verify", "true")


def test_no_such_path():
    for command in "run", "inspect", "bench":
        args = ["--prompt", "x"] if command == "run" else []
        assert "/nowhere" in refused(command, "/nowhere", *args)


# ---- names that scripts call ----


def test_trtllm_build(scratch):
    """As published scripts call it; what means nothing here is said once, in one line."""
    checkpoint, engine = scratch / "c", scratch / "e"
    trireme("convert", "--model_dir", family("llama_tied"), "--output_dir", checkpoint)
    result = execute(
        harness.BUILD / "trtllm-build",
        *["--checkpoint_dir", checkpoint, "--output_dir", engine, "--gemm_plugin", "auto"],
        *["--gpt_attention_plugin", "bfloat16", "--remove_input_padding", "enable"],
        *["--paged_kv_cache", "enable", "--max_input_len", 128, "--max_batch_size", 4],
        *["--use_paged_context_fmha", "enable", "--workers", 2, "--kv_cache_type", "paged"],
    )
    warnings = [line for line in result.err.splitlines() if "without effect" in line]
    assert len(warnings) == 1
    for flag in "gemm_plugin", "gpt_attention_plugin", "workers", "max_input_len":
        assert f"--{flag}" in warnings[0]
    assert "--max_batch_size" not in warnings[0]
    assert json.loads((engine / "config.json").read_text())["build_config"]["max_batch_size"] == 4
    assert (engine / "rank0.engine").exists()


# Of trtllm-build, those that have a meaning here; those about how TensorRT does it; those that ask
# for what is not here, with a value that asks for nothing.
DONE = "max_batch_size max_num_tokens max_seq_len max_decoder_seq_len tokens_per_block".split()
IGNORED = """
    max_input_len max_output_len max_encoder_input_len opt_num_tokens workers input_timing_cache
    output_timing_cache profiling_verbosity weight_streaming weight_sparsity fast_build log_level
    enable_debug_output visualize_network monitor_memory logits_dtype gather_context_logits
    gather_generation_logits gather_all_token_logits max_lora_rank lora_ckpt_source gpus_per_node
    cluster_key gpt_attention_plugin bert_attention_plugin nccl_plugin moe_plugin
    mamba_conv1d_plugin lookup_plugin context_fmha context_fmha_fp32_acc bert_context_fmha_fp32_acc
    remove_input_padding paged_kv_cache paged_state use_paged_context_fmha use_fp8_context_fmha
    use_context_fmha_for_generation use_custom_all_reduce multi_block_mode enable_xqa
    attention_qk_half_accumulation use_fused_mlp gemm_plugin explicitly_disable_gemm_plugin
    gemm_swiglu_plugin low_latency_gemm_plugin low_latency_gemm_swiglu_plugin gemm_allreduce_plugin
    fp8_rowwise_gemm_plugin reduce_fusion user_buffer norm_quant_fusion fuse_fp4_quant
    multiple_profiles pp_reduce_scatter""".split()
REFUSED = {
    "max_beam_width": "1",
    "max_prompt_embedding_table_size": "0",
    "max_multimodal_len": "0",
    "lora_dir": None,
    "lora_plugin": "disable",
    "dora_plugin": "disable",
    "lora_target_modules": None,
    "speculative_decoding_mode": None,
    "max_draft_len": "0",
    "streamingllm": "disable",
    "auto_parallel": "1",
    "model_config": None,
    "build_config": None,
    "model_cls_file": None,
    "model_cls_name": None,
}


def test_flags_of_trtllm_build():
    """Each is known: followed, ignored with a warning, or refused with a reason."""
    done = [arg for flag in DONE for arg in (f"--{flag}", 4)]
    assert trireme("build", *done, code=2).err == trireme("build", code=2).err
    ignored = [arg for flag in IGNORED for arg in (f"--{flag}", "enable")]
    warning, missing = trireme("build", *ignored, code=2).err.splitlines()
    assert warning.split(":")[-1].split() == [f"--{flag}" for flag in IGNORED]
    assert "--checkpoint_dir" in missing
    for flag, off in REFUSED.items():
        message = trireme("build", f"--{flag}", "4", code=2).err
        assert message.startswith(f"trireme build: --{flag}: ") and len(message.split()) > 6
        if off:
            assert trireme("build", f"--{flag}", off, code=2).err == missing + "\n"


def test_use_weight_only(scratch):
    """As convert_checkpoint.py has it: int8, unless another precision is named."""
    engine = harness.build(family("llama_tied"), scratch / "e", "--use_weight_only")
    assert re.search(r"\bi8\b", trireme("inspect", engine, "--weights").out)


def test_misfit_of_int4_groups(scratch):
    """The way out that the message names is one."""
    args = ["build", "--model_dir", family("llama_tied"), "--output_dir", scratch / "e"]
    args += ["--weight_only_precision", "int4", "--group_size"]
    message = refused(*args, 1024)
    (value,) = re.findall(r"or (\S+) for one scale a row", message)
    trireme(*args, value)


def test_dry_run(scratch):
    """All that a build would say, and nothing of what it would write."""
    engine = harness.build(family("llama_tied"), scratch / "e")
    before = {path: path.stat().st_mtime_ns for path in scratch.rglob("*")}
    args = ["build", "--dry_run", "--output_dir", engine, "--model_dir"]
    out = trireme(*args, family("llama_tied"), "--dtype", "float32").out
    assert "would be built" in out and not re.search(r"\b0\.0 MB", out)
    assert "/nowhere" in refused(*args, "/nowhere")
    assert {path: path.stat().st_mtime_ns for path in scratch.rglob("*")} == before


def test_instruction_sets_share_what_is_stored(scratch):
    """An engine for AMX runs on a machine without it, from the same bytes: the layout is the same."""
    engines = {isa: scratch / isa for isa in ("avx2", "avx512", "amx")}
    for isa, engine in engines.items():
        trireme("build", "--model_dir", family("llama_tied"), "--output_dir", engine, "--cpu_isa", isa)
    weights = {isa: json.loads(trireme("inspect", e, "--json").out)["files"][0] for isa, e in engines.items()}
    entries = [[(t["name"], t["bytes"]) for t in w["entries"] if t["kind"] == "weights"] for w in weights.values()]
    assert entries[0] == entries[1] == entries[2]
    for engine in engines.values():
        assert "decode" in trireme("bench", engine, "--input_len", 4, "--output_len", 2, "--repeat", 1).out


def test_trtllm_refit(scratch):
    engine = harness.build(family("llama_tied"), scratch / "e", "--strip_plan")
    checkpoint = scratch / "c"
    trireme("convert", "--model_dir", family("llama_tied"), "--output_dir", checkpoint)
    refit = harness.BUILD / "trtllm-refit"
    execute(refit, "--checkpoint_dir", checkpoint, "--engine_dir", engine)
    trireme("inspect", engine, "--verify")


# ---- run ----


def test_json(auto_engine):
    result = trireme("run", auto_engine, "--prompt", "Hi", "--max_tokens", 5, "--json")
    value = json.loads(result.out.splitlines()[-1])
    assert list(value) == ["prompt_ids", "output_ids", "text", "finish_reason", "timings"]
    assert all(isinstance(i, int) for i in value["prompt_ids"] + value["output_ids"])
    assert 1 <= len(value["output_ids"]) <= 5 and len(value["prompt_ids"]) == 31
    assert isinstance(value["text"], str)
    assert value["finish_reason"] in ("stop", "length")
    assert all(v >= 0 for v in value["timings"].values())
    assert {"prompt_ms", "decode_ms"} <= value["timings"].keys()


def test_raw_adds_nothing(auto_engine):
    """"Hello world" is two tokens (tests/golden/smollm2/tokens.json)."""
    value = run_json(auto_engine, "--raw", "--prompt", "Hello world", "--max_tokens", 1)
    assert value["prompt_ids"] == [19556, 905]
    assert len(value["output_ids"]) == 1 and value["finish_reason"] == "length"


def test_plain_output(auto_engine):
    """The answer on stdout, figures on stderr; both the same text as --json has."""
    args = [auto_engine, "--prompt", "What is the capital of France?", "--max_tokens", 16]
    result = trireme("run", *args)
    assert result.out == run_json(*args)["text"] + "\n"
    assert len(re.findall(r"[\d.]+ tok/s", result.err)) == 2
    assert "prompt" in result.err and "decode" in result.err
    assert trireme("run", *args, "--quiet").err == ""


def test_stop(auto_engine):
    """The text ends before the string, wherever tokens end."""
    args = [auto_engine, "--raw", "--prompt", "1, 2, 3, 4, 5, 6, 7, 8,", "--max_tokens", 40]
    whole = run_json(*args)
    assert " 12, 13" in whole["text"]
    value = run_json(*args, "--stop", "2, 1")
    assert value["text"] == whole["text"][: whole["text"].index("2, 1")]
    assert value["finish_reason"] == "stop"
    assert value["output_ids"] == whole["output_ids"][: len(value["output_ids"])]
    assert len(value["output_ids"]) < len(whole["output_ids"])
    both = run_json(*args, "--stop", "nowhere", "--stop", " 10")
    assert both["text"] == whole["text"][: whole["text"].index(" 10")]
    assert trireme("run", *args, "--stop", " 10").out == both["text"] + "\n"


def test_seed(auto_engine):
    args = [auto_engine, "--raw", "--prompt", "Once upon a time", "--max_tokens", 24]
    args += ["--temperature", 1.0]
    outputs = [run_json(*args, "--seed", s)["output_ids"] for s in (7, 7, 8, 9)]
    assert outputs[0] == outputs[1]
    assert len({tuple(o) for o in outputs}) >= 3
    greedy = run_json(*args[:-2])["output_ids"]
    assert run_json(*args, "--seed", 3, "--top_k", 1)["output_ids"] == greedy
    assert run_json(*args, "--seed", 3, "--top_p", 1e-6)["output_ids"] == greedy
    assert run_json(*args, "--seed", 3, "--min_p", 1)["output_ids"] == greedy


def test_repetition_penalty(auto_engine):
    """The counting prompt repeats ", " for ever; with a penalty it stops to."""
    args = [auto_engine, "--raw", "--prompt", "1, 2, 3, 4, 5, 6, 7, 8,", "--max_tokens", 24]
    plain, penalised = run_json(*args), run_json(*args, "--repetition_penalty", 1.5)
    assert len(set(penalised["output_ids"])) > len(set(plain["output_ids"]))


def test_prompt_file(auto_engine, scratch):
    prompt = "The capital of France is"
    args = [auto_engine, "--raw", "--max_tokens", 4]
    wanted = run_json(*args, "--prompt", prompt)
    (scratch / "prompt.txt").write_text(prompt)
    by_file = run_json(*args, "--prompt_file", scratch / "prompt.txt")
    by_stdin = run_json(*args, "--prompt_file", "-", stdin=prompt)
    for value in by_file, by_stdin:
        assert value["prompt_ids"] == wanted["prompt_ids"]
        assert value["output_ids"] == wanted["output_ids"]
    assert "missing.txt" in refused("run", auto_engine, "--prompt_file", scratch / "missing.txt")


def test_prompt_from_a_pipe(auto_engine, scratch):
    """As a shell's <(command) gives it."""
    pipe = scratch / "pipe"
    os.mkfifo(pipe)
    args = [TRIREME, "run", auto_engine, "--raw", "--max_tokens", 1, "--json", "--prompt_file", pipe]
    process = subprocess.Popen([str(a) for a in args], stdout=subprocess.PIPE, env=harness.environment())
    pipe.write_text("Hello world")
    assert json.loads(process.communicate(timeout=60)[0])["prompt_ids"] == [19556, 905]
    assert "Is a directory" in refused("run", auto_engine, "--prompt_file", scratch)


def test_prompt_that_is_no_text(auto_engine, scratch):
    """What is no UTF-8 is read as U+FFFD, and a NUL ends no prompt."""
    path = scratch / "bytes"
    for flags in [], ["--raw"]:
        prompts = b"\xff\xfe ab\x00cd", "\ufffd\ufffd ab\0cd".encode(), b"\xff\xfe ab"
        args = [auto_engine, *flags, "--prompt_file", path, "--max_tokens", 1]
        ids = [run_json(*args)["prompt_ids"] for prompt in prompts if path.write_bytes(prompt)]
        assert ids[0] == ids[1] and len(ids[2]) < len(ids[0])


def test_output_that_cannot_be_written(auto_engine):
    """A full disk is no success."""
    for args in ["inspect", auto_engine], ["run", auto_engine, "--prompt", "Hi", "--max_tokens", 2]:
        with open("/dev/full", "w") as full:
            process = subprocess.run([str(a) for a in (TRIREME, *args)], stdout=full, stderr=subprocess.PIPE)
        assert process.returncode == 1
        assert b"No space left" in process.stderr


def test_prompt_that_is_too_long(auto_engine):
    message = refused(
        "run", auto_engine, "--raw", "--prompt", "word " * 300, "--max_seq_len", 64
    )
    assert "64" in message


def test_max_seq_len_ends_a_generation(auto_engine):
    value = run_json(auto_engine, "--raw", "--prompt", "1, 2, 3, 4,", "--max_seq_len", 32)
    assert len(value["prompt_ids"]) + len(value["output_ids"]) <= 33
    assert value["finish_reason"] == "length"


def test_empty_prompt(auto_engine):
    """Nothing to go on from is said; an empty question is asked."""
    assert "no tokens" in refused("run", auto_engine, "--raw", "--prompt", "")
    assert len(run_json(auto_engine, "--prompt", "", "--max_tokens", 2)["prompt_ids"]) > 10


@pytest.mark.parametrize(
    "flag, value",
    [
        ("dtype", "float32"),
        ("activation_dtype", "float32"),
        ("kv_cache_dtype", "float32"),
        ("weight_only_precision", "int8"),
        ("group_size", 64),
        ("target", "cuda"),
    ],
)
def test_an_engine_is_built_already(auto_engine, flag, value):
    for command in ["run", "--prompt", "x"], ["bench"]:
        message = refused(command[0], auto_engine, *command[1:], f"--{flag}", value)
        assert str(auto_engine) in message and f"--{flag}" in message and "trireme build" in message


def test_verify(scratch):
    """A bit in the weights is nobody's business until asked."""
    engine = harness.build(SMOLLM2, scratch / "e", "--max_seq_len", 64)
    run = ["run", engine, "--prompt", "x", "--max_tokens", 1]
    bench = ["bench", engine, "--input_len", 4, "--output_len", 2, "--repeat", 1]
    for args in run, bench:
        trireme(*args, "--verify")
    with open(engine / "rank0.engine", "r+b") as f:
        f.seek(-5000, os.SEEK_END)
        byte = f.read(1)[0]
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte ^ 4]))
    for args in run, bench:
        trireme(*args)
        assert "checksum" in refused(*args, "--verify")


def test_model_without_a_tokenizer(scratch):
    """Said before anything is built, of the model that lacks it."""
    model, cache = family("llama_tied"), scratch / "cache"
    message = refused("run", model, "--raw", "--prompt", "x", cache=cache)
    assert str(model) in message and "tokenizer.json" in message and not cache.exists()
    assert "config.json" in refused("run", scratch, "--prompt", "x", cache=cache)
    assert "/nowhere" in refused("run", "/nowhere", "--prompt", "x", cache=cache)


# ---- what is said when something is wrong ----


@pytest.mark.parametrize("command", ["build", "convert"])
def test_a_path_is_named_once(command, scratch):
    path = scratch / "cut.gguf"
    path.write_bytes(SMOLLM2.read_bytes()[:100000])
    message = refused(command, "--model_dir", path, "--output_dir", scratch / "o")
    assert message.count(path.name) == 1 and "truncated" in message


def test_warnings_are_for_people(scratch):
    """No time, no level of a log."""
    model = harness.copy_family("llama_tied", scratch / "m")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "novelty": 1}))
    args = ["build", "--model_dir", model, "--output_dir", scratch / "e"]
    (line,) = trireme(*args).err.splitlines()
    assert line.startswith("warning: config ") and "novelty" in line
    assert re.search(
        r"^warning: build .*max_seq_len=1024", trireme(*args, "--max_seq_len", 1024).err, re.M
    )


def test_packing_again_is_told_once(auto_engine, scratch):
    args = ["run", auto_engine, "--prompt", "x", "--max_tokens", 1, "--cpu_isa", "generic"]
    result = trireme(*args, "--quiet", cache=scratch / "cache")
    assert result.err.count("packed again") == 1


# ---- cache ----


def test_cache(scratch):
    """A model is built once; options that change the engine make another; a changed file too."""
    model, cache = scratch / "model.gguf", scratch / "cache"
    os.link(SMOLLM2, model)
    args = [model, "--raw", "--prompt", "Hello", "--max_tokens", 2, "--json"]

    def runs(*more):
        return trireme("run", *args, *more, cache=cache)

    def n_engines():
        return len(list(cache.rglob("rank0.engine")))

    first, second = runs(), runs()
    assert "built " in first.err and "built " not in second.err
    ids = [json.loads(r.out.splitlines()[-1])["output_ids"] for r in (first, second)]
    assert ids[0] == ids[1] and n_engines() == 1
    assert "built " not in runs("--temperature", 1, "--threads", 1).err
    assert "built " in runs("--activation_dtype", "float32").err and n_engines() == 2
    model.unlink()
    model.write_bytes(SMOLLM2.read_bytes())  # other times, as of another download
    assert "built " in runs().err


def test_damaged_cache_is_built_again(scratch):
    """A cache is no place to be careful about: what is damaged there is replaced."""
    cache = scratch / "cache"
    args = ["run", SMOLLM2, "--raw", "--prompt", "Hello", "--max_tokens", 2, "--json"]
    wanted = json.loads(trireme(*args, cache=cache).out.splitlines()[-1])["output_ids"]
    (engine,) = cache.rglob("rank0.engine")
    os.truncate(engine, engine.stat().st_size // 2)
    result = trireme(*args, cache=cache)
    assert json.loads(result.out.splitlines()[-1])["output_ids"] == wanted


def test_no_place_for_a_cache():
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")}
    result = subprocess.run(
        [TRIREME, "run", SMOLLM2, "--prompt", "x"], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 1
    assert "XDG_CACHE_HOME" in result.stderr and "trireme build" in result.stderr


def test_relative_place_for_a_cache(scratch):
    """Is none, says the XDG base directory specification: HOME's is taken."""
    (scratch / "home").mkdir()
    args = [TRIREME, "run", SMOLLM2, "--raw", "--prompt", "x", "--max_tokens", "1"]
    environment = {**os.environ, "XDG_CACHE_HOME": "relative", "HOME": str(scratch / "home")}
    subprocess.run(args, check=True, capture_output=True, env=environment, cwd=scratch)
    assert [p.name for p in scratch.iterdir()] == ["home"]
    assert list((scratch / "home/.cache/trireme").rglob("rank0.engine"))


# ---- progress ----


def test_progress_in_plain_lines(scratch):
    result = trireme("build", "--model_dir", SMOLLM2, "--output_dir", scratch / "e")
    assert "\r" not in result.err and "\x1b" not in result.err
    assert "built in" in result.out


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_progress_fits_a_terminal(scratch, columns):
    """One line drawn over itself: never so wide that it would wrap, whatever tensors are called."""
    args = ["convert", "--model_dir", SMOLLM2, "--output_dir", scratch / "c"]
    seen = Terminal(*args, columns=columns).read_all()
    *drawn, rest = seen.split("\r\x1b[K")[1:]
    assert len(drawn) > 10 and max(map(len, drawn)) < columns
    assert all(re.fullmatch(r" *\d+% \[[#.]*.*", line) for line in drawn)
    assert "\x1b" not in rest and rest.startswith(str(scratch))
    if columns == 120:
        assert any("transformer.layers.0." in line for line in drawn)


def test_progress_on_a_dumb_terminal(scratch):
    args = ["convert", "--model_dir", SMOLLM2, "--output_dir", scratch / "c"]
    assert "\x1b" not in Terminal(*args, term="dumb").read_all()


# ---- bench ----


def test_bench(auto_engine):
    args = ["bench", auto_engine, "--input_len", 8, "--output_len", 4, "--batch", 2]
    text = trireme(*args).out
    assert "prefill" in text and "decode" in text
    value = json.loads(trireme(*args, "--json").out.splitlines()[-1])
    assert value["batch"] == 2 and value["input_len"] == 8 and value["output_len"] == 4
    assert value["prefill_tokens_per_s"] > 0 and value["decode_tokens_per_s"] > 0


# ---- chat ----


def test_chat_through_a_pipe(auto_engine):
    """A line is a turn; the conversation is remembered until /reset."""
    lines = "My name is Zebulon.\n\n/reset\nWhat is the capital of France?\n/exit\nnever asked\n"
    result = trireme("run", auto_engine, "--max_tokens", 24, stdin=lines)
    alone = run_json(auto_engine, "--prompt", "What is the capital of France?", "--max_tokens", 24)
    assert result.out.endswith(alone["text"] + "\n")
    assert result.err.count("decode") == 2


def test_chat_remembers(auto_engine):
    """The second turn's prompt holds the first: its length is told."""
    lines = "My name is Zebulon.\nWhat is my name?\n"
    result = trireme("run", auto_engine, "--max_tokens", 24, stdin=lines)
    first, second = (int(n) for n in re.findall(r"prompt (\d+) tokens", result.err))
    alone = run_json(auto_engine, "--prompt", "What is my name?", "--max_tokens", 1)
    assert second > first and second > len(alone["prompt_ids"]) + 10


def test_failed_turns_of_a_script(auto_engine):
    """The way on is told, and the exit status tells of it."""
    lines = "word " * 100 + "\n/reset\nHi\n"
    result = trireme("run", auto_engine, "--max_seq_len", 64, "--max_tokens", 2, stdin=lines, code=1)
    assert "/reset" in result.err and result.err.count("decode") == 1


class Terminal:
    """A process on a pseudo-terminal of its own."""

    def __init__(self, *args, term="xterm", columns=80):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            termios.tcsetwinsize(0, (24, columns))
            os.chdir(harness.ROOT)
            environment = {**harness.environment(), "TERM": term, "LC_ALL": "C"}
            os.execve(TRIREME, [str(a) for a in (TRIREME, *args)], environment)
        self.seen, self.at = "", 0

    def read_until(self, pattern, timeout=60):
        """What was written since the last match, up to where the pattern matches."""
        start, deadline = self.at, time.monotonic() + timeout
        while True:
            match = re.search(pattern, self.seen[start:])
            if match:
                self.at += match.end()
                return self.seen[start : self.at]
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self.seen[start:]!r}"
            if select.select([self.fd], [], [], left)[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:  # the other side closed
                    data = b""
                assert data, f"ended without {pattern!r}: {self.seen[start:]!r}"
                self.seen += data.decode("utf-8", "replace")

    def read_prompt(self):
        """A line editor that waits: it writes its prompt before it takes the terminal over."""
        self.read_until("> ")
        while termios.tcgetattr(self.fd)[3] & termios.ICANON:
            time.sleep(0.002)

    def write(self, text):
        os.write(self.fd, text.encode())

    def wait(self, timeout=30):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError(f"still running: {self.seen!r}")

    def read_all(self):
        """What it writes until it ends."""
        while True:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return self.seen
            if not data:
                return self.seen
            self.seen += data.decode("utf-8", "replace")

    def close(self):
        os.close(self.fd)


@pytest.fixture
def chat(request, auto_engine):
    terminal = Terminal("run", auto_engine, *getattr(request, "param", []))
    terminal.read_prompt()
    yield terminal
    terminal.close()  # which ends what still runs: its terminal is gone


def test_interrupt_stops_an_answer_not_the_chat(chat):
    """Ctrl-C while an answer comes, which would go on for long: it ends, and the next question is
    answered to its end."""
    chat.write("Write a long story about a river and a mountain.\r")
    chat.read_until(r"mountain\.\r\n\w+ \w+ \w+")
    chat.write("\x03")
    figures = chat.read_until(r"cancelled\r\n")
    assert "decode" in figures
    chat.read_prompt()
    chat.write("/reset\r")
    chat.read_prompt()
    chat.write("What is 2 + 2?\r")
    assert chat.read_until(r", (stop|length|cancelled)\r\n").endswith("stop\r\n")
    chat.read_prompt()
    chat.write("/exit\r")
    assert chat.wait() == 0


@pytest.mark.parametrize("chat", [["--max_tokens", 1]], indirect=True)
def test_interrupt_drops_a_line(chat, auto_engine):
    """What was typed is gone; with nothing typed there is a new prompt all the same."""
    chat.write("abc")
    chat.read_until("abc")
    chat.write("\x03")
    chat.read_until(r"\^C\r\n")
    chat.read_prompt()
    chat.write("\x03")
    chat.read_until(r"\^C\r\n")
    chat.read_prompt()
    chat.write("Hello\r")
    chat.read_until(r"prompt (\d+) tokens")
    (n,) = re.findall(r"prompt (\d+) tokens", chat.seen)
    assert int(n) == len(run_json(auto_engine, "--prompt", "Hello", "--max_tokens", 1)["prompt_ids"])
    chat.read_prompt()
    chat.write("/exit\r")
    assert chat.wait() == 0


def test_end_of_input_leaves_the_chat(chat):
    chat.write("\x04")
    assert chat.wait() == 0


@pytest.mark.parametrize("chat", [["--max_tokens", 1]], indirect=True)
def test_typed_text_is_utf8(chat, auto_engine):
    """Whatever the locale is called."""
    question = "Où naît l'été à Zürich? 长城"
    chat.write(question + "\r")
    chat.read_until(r"prompt (\d+) tokens")
    (n,) = re.findall(r"prompt (\d+) tokens", chat.seen)
    wanted = run_json(auto_engine, "--prompt", question, "--max_tokens", 1)["prompt_ids"]
    assert int(n) == len(wanted)


def start(*args):
    return subprocess.Popen(
        [str(a) for a in (TRIREME, "run", *args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=harness.environment(),
    )


def test_interrupt_of_a_single_prompt(auto_engine):
    """What came so far is kept; the process says that it was cut short."""
    process = start(auto_engine, "--raw", "--prompt", "1, 2, 3, 4,")
    first = os.read(process.stdout.fileno(), 1)  # it has begun to answer
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert first and process.returncode == 130
    assert b"cancelled" in err


def test_interrupt_of_a_script(auto_engine):
    """Ends it: the lines that follow are not asked."""
    process = start(auto_engine)
    process.stdin.write(b"Write a long story about a river and a mountain.\nHi\n")
    process.stdin.flush()
    first = os.read(process.stdout.fileno(), 1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert first and process.returncode == 130
    assert err.count(b"decode") == 1
