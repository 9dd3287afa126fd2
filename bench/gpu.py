#!/usr/bin/env python3
"""Decode steps and time to the first token on a GPU, for models of random weights, as shares of what memory allows.

    bench/gpu.py [--shapes 8b,1b] [--cases b1,b8,...] [--torch] [--out FILE.csv] [--profile]

Definitions, the same as of the figures of vLLM 0.25.0 that stand beside ours (one H200, dummy weights, greedy, CUDA
graphs, FlashAttention 3):
    step   (time of 144 output tokens - time of 16) / 128, in ms, prompts of the context's length
    TTFT   one request, one token out, in ms
The floor of a step is the time to read all weights but the embedding table once, at the card's measured 4.63 TB/s.
Engines are built without weights (seconds, no GPU needed) and get random ones when they are loaded.
"""
import argparse
import csv
import itertools
import json
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
READ_BYTES_PER_S = 4.63e12

LLAMA = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_act="silu", rms_norm_eps=1e-5,
             rope_theta=500000.0, max_position_embeddings=131072, vocab_size=128256, torch_dtype="bfloat16",
             bos_token_id=128000, eos_token_id=128001, attention_bias=False, mlp_bias=False)
SHAPES = {
    "8b": dict(LLAMA, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
               num_key_value_heads=8, head_dim=128, tie_word_embeddings=False),
    "1b": dict(LLAMA, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
               num_key_value_heads=8, head_dim=64, tie_word_embeddings=True),
}
# case: (batch, prompt); output 0 means time to the first token
STEPS = {"b1": (1, 128), "b8": (8, 128), "b32": (32, 128), "b128": (128, 128), "b256": (256, 128), "b1_1k": (1, 1024),
         "b32_1k": (32, 1024), "b128_1k": (128, 1024)}
FIRST = {"ttft_128": 128, "ttft_2k": 2048, "ttft_8k": 8192}
VLLM = {  # ms; design notes of this repository give the setting
    "8b": dict(b1=4.88, b8=4.99, b32=5.44, b128=7.34, b256=11.0, b1_1k=4.95, b32_1k=6.29, b128_1k=10.75, ttft_128=9.4,
               ttft_2k=51.0, ttft_8k=215.0),
    "1b": dict(b1=1.47, b8=1.73, b32=1.98, b128=3.89, b256=4.45, b1_1k=1.45, b32_1k=2.12, b128_1k=3.17, ttft_128=5.8,
               ttft_2k=11.3, ttft_8k=41.5),
}


def build(args, shape):
    """An engine without weights."""
    model, engine = args.work / f"{shape}-model", args.work / f"{shape}-engine"
    model.mkdir(parents=True, exist_ok=True)
    (model / "config.json").write_text(json.dumps(SHAPES[shape]))
    start = time.time()
    if not (engine / "rank0.engine").exists():
        subprocess.run([args.trireme, "build", "--model_dir", model, "--load_format", "dummy", "--strip_plan", "--target",
                        args.target, "--max_num_tokens", "8192", "--max_batch_size", "256", "--output_dir", engine],
                       check=True)
        print(f"# {shape}: built in {time.time() - start:.1f} s", flush=True)
    return engine


def bench(args, engine, batch, prompt, output, extra=()):
    run = subprocess.run([args.trireme, "bench", engine, "--load_format", "dummy", "--trust_engine_code", "--json", "--batch",
                          str(batch), "--input_len", str(prompt), "--output_len", str(output), "--repeat",
                          str(args.repeat), *extra], stdout=subprocess.PIPE, text=True)
    if run.returncode:
        return None
    return json.loads(run.stdout.splitlines()[0]), run.stdout


def decode_ms(result):
    """Of all output tokens but the first, which the prompt's step gives."""
    return result["decode_step_ms"] * (result["output_len"] - 1)


def floor_ms(shape, weight_bytes):
    table = SHAPES[shape]["vocab_size"] * SHAPES[shape]["hidden_size"] * 2
    return (weight_bytes - (0 if SHAPES[shape]["tie_word_embeddings"] else table)) / READ_BYTES_PER_S * 1e3


def measure(args, shape, engine):
    for case in args.cases:
        if case in STEPS:
            batch, prompt = STEPS[case]
            got, short = bench(args, engine, batch, prompt, 144), bench(args, engine, batch, prompt, 16)
            value = got and short and (decode_ms(got[0]) - decode_ms(short[0])) / 128
            got = got if short else None
        else:
            got = bench(args, engine, 1, FIRST[case], 1)
            value = got and got[0]["prefill_ms"]
        if not got:
            yield dict(shape=shape, case=case, ms="failed")
            continue
        floor = floor_ms(shape, got[0]["weight_bytes"]) if case in STEPS else None
        peer = VLLM[shape].get(case)
        yield dict(shape=shape, case=case, ms=round(value, 3), floor_ms=floor and round(floor, 3),
                   share=floor and round(floor / value, 3), vllm_ms=peer, ratio=peer and round(peer / value, 3))
        if args.profile:
            print(bench(args, engine, STEPS.get(case, (1, FIRST.get(case, 128)))[0],
                        STEPS.get(case, (1, FIRST.get(case, 128)))[1], 16 if case in STEPS else 1, ["--profile"])[1])


def torch_rows(shape):
    """The same by transformers with torch.compile, batch 1."""
    import torch
    import transformers
    config = transformers.LlamaConfig(**{k: v for k, v in SHAPES[shape].items() if k not in ("architectures", "model_type")})
    with torch.device("cuda"):
        model = transformers.LlamaForCausalLM(config).to(torch.bfloat16).eval()
    tokens = torch.randint(0, 1000, (1, 128), device="cuda")
    model.generation_config.cache_implementation = "static"
    model.forward = torch.compile(model.forward, mode="reduce-overhead")

    def generate(n):
        torch.cuda.synchronize()
        start = time.time()
        model.generate(tokens, max_new_tokens=n, min_new_tokens=n, do_sample=False)
        torch.cuda.synchronize()
        return time.time() - start

    for n in (16, 144):
        generate(n)
    yield dict(shape=shape, case="b1 torch.compile", ms=round((generate(144) - generate(16)) / 128 * 1e3, 3))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trireme", default=ROOT / "build/trireme")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/bench/gpu")
    parser.add_argument("--target", default="cuda:sm_90a")
    parser.add_argument("--shapes", default="8b,1b")
    parser.add_argument("--cases", default=",".join([*STEPS, *FIRST]))
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--torch", action="store_true", help="transformers with torch.compile beside ours")
    parser.add_argument("--profile", action="store_true", help="time by kernel after each case")
    parser.add_argument("--build_only", action="store_true", help="make the engines; needs no GPU")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    args.cases = args.cases.split(",")
    rows, fields = [], ["shape", "case", "ms", "floor_ms", "share", "vllm_ms", "ratio"]
    print(",".join(fields))
    for shape in args.shapes.split(","):
        engine = build(args, shape)
        if args.build_only:
            continue
        for row in itertools.chain(measure(args, shape, engine), torch_rows(shape) if args.torch else ()):
            rows.append(row)
            print(",".join(str(row.get(f) if row.get(f) is not None else "") for f in fields), flush=True)
    if args.out:
        with open(args.out, "w", newline="") as f:
            writer = csv.DictWriter(f, fields)
            writer.writeheader()
            writer.writerows(rows)
    return 0 if all(row["ms"] != "failed" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
