#!/usr/bin/env python3
"""Measures engines with `trireme bench` and writes one CSV line a case; bench/cpu.sh makes what it needs.

Each speed stands beside the time that the machine's own limits (bench/machine.c, measured before and after, the best
of both) allow at least:

    floor = the longer of  bytes of weights / read bandwidth  and  operations / peak
    share = floor / measured

with float32 multiply-adds as the peak of float weights and vpmaddubsw chains as that of 8-bit activations.  A weight
is read once a step, whatever the batch; attention and everything else count as nothing.  So a share says how far the
whole step is from the best that could be done with these weights.
"""

import argparse
import csv
import datetime
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

FIELDS = ["date", "commit", "device", "threads", "program", "model", "weights", "case", "batch", "input_len"]
FIELDS += ["output_len", "tokens_per_s", "step_ms", "floor_ms", "share", "bound", "ratio_to_llama_cpp", "command"]
ENGINES = [
    ("SmolLM2-135M", "smollm2-auto", "q4_1, 8-bit activations", "maddubs"),
    ("SmolLM2-135M", "smollm2-bfloat16", "bfloat16", "fma"),
    ("SmolLM2-135M", "smollm2-float32", "float32", "fma"),
    ("Llama-1B shape", "llama1b-bfloat16", "bfloat16", "fma"),
]
DECODE_INPUT = 32  # tokens in the cache when decoding begins


def output_of(*command):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout


def device():
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def commit():
    changed = "+" if output_of("git", "status", "--porcelain", "src", "include").strip() else ""
    return output_of("git", "rev-parse", "--short", "HEAD").strip() + changed


class Limits:
    def __init__(self, program, threads):
        self.program, self.threads, self.best = program, threads, {}

    def measure(self):
        for row in csv.DictReader(output_of(self.program, self.threads).splitlines()):
            key = row["name"], int(row["threads"])
            value, unit = float(row["value"]), row["unit"]
            if value > self.best.get(key, (0, ""))[0]:
                self.best[key] = value, unit

    def get(self, name):
        return self.best[name, self.threads][0] * 1e9


class Work:
    """What a step must do, from the shapes of an engine's matrices."""

    def __init__(self, trireme, engine):
        entries = json.loads(output_of(trireme, "inspect", engine, "--json"))["files"][0]["entries"]
        matrices = [e for e in entries if e["kind"] == "weights" and len(e["shape"]) == 2]
        layers = [e for e in matrices if ".layers." in e["name"]]
        ends = [e for e in matrices if ".layers." not in e["name"]]  # the embedding last, when it is the head as well
        self.head = next((e for e in ends if e["name"].startswith("lm_head")), ends[0])
        self.layer_elems = sum(e["shape"][0] * e["shape"][1] for e in layers)
        self.head_elems = self.head["shape"][0] * self.head["shape"][1]
        self.bytes = sum(e["bytes"] for e in layers) + self.head["bytes"]

    def floor_s(self, n_tokens, n_rows, limits, peak):
        operations = 2 * (n_tokens * self.layer_elems + n_rows * self.head_elems)
        reading, computing = self.bytes / limits.get("read"), operations / limits.get(peak)
        return max(reading, computing), "reads" if reading > computing else peak


def trireme_case(args, engine, case, batch, n):
    """(tokens per second, ms a step, command) of the best round."""
    lengths = (n, 1) if case == "prefill" else (DECODE_INPUT, n)
    command = [args.trireme, "bench", engine, "--input_len", lengths[0], "--output_len", lengths[1]]
    command += ["--batch", batch, "--repeat", args.repeat, "--threads", args.threads, "--json"]
    r = json.loads(output_of(*command))
    command = " ".join(str(c) for c in command)
    if case == "prefill":
        return r["prefill_tokens_per_s"], r["prefill_ms"], command
    return r["decode_tokens_per_s"], r["decode_step_ms"], command


def llama_case(args, gguf, case, batch, n):
    """The same from llama.cpp: tokens per second and command, or None."""
    if batch == 1:
        program = Path(args.llama_cpp) / "llama-bench"
        sizes = ["-p", n, "-n", 0] if case == "prefill" else ["-p", 0, "-n", n, "-d", DECODE_INPUT]
        command = [program, "-m", gguf, "-t", args.threads, *sizes, "-r", args.repeat, "-o", "json"]
        samples = json.loads(output_of(*command))[0]["samples_ts"]
        return max(samples), "llama-bench " + " ".join(str(c) for c in command[3:])
    program = Path(args.llama_cpp) / "llama-batched-bench"
    context = batch * (DECODE_INPUT + n)
    command = [program, "-m", gguf, "-t", args.threads, "-tb", args.threads, "-c", context, "-npp", DECODE_INPUT]
    command += ["-ntg", n, "-npl", batch]
    best = 0.0
    for _ in range(args.repeat):
        rows = re.findall(r"^\|(.*)\|$", output_of(*command), re.M)
        names, values = [[c.strip() for c in row.split("|")] for row in (rows[0], rows[-1])]
        best = max(best, float(values[names.index("S_TG t/s")]))
    return best, "llama-batched-bench " + " ".join(str(c) for c in command[3:])


def cases(name):
    decoded = 16 if "llama1b" in name else 32
    yield from (("prefill", 1, 128), ("prefill", 1, 512))
    yield from (("decode", batch, decoded) for batch in (1, 8, 32))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/bench"), help="where the engines are")
    parser.add_argument("--smollm2", type=Path, required=True, help="the GGUF file of SmolLM2")
    parser.add_argument("--trireme", default="build/trireme")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the best counts")
    parser.add_argument("--only", default="", help="engines whose name contains it")
    parser.add_argument("--no_1b", action="store_true", help="without the Llama-1B shape")
    parser.add_argument("--llama_cpp", help="directory of llama-bench and llama-batched-bench")
    parser.add_argument("--llama1b_gguf", type=Path, help="the Llama-1B shape for llama.cpp")
    parser.add_argument("--output", type=Path, help="CSV file (bench/results/cpu-<device>.csv)")
    args = parser.parse_args()

    limits = Limits(args.work / "machine", args.threads)
    limits.measure()
    common = {"date": datetime.date.today().isoformat(), "commit": commit(), "device": device()}
    common["threads"] = args.threads
    measured = []
    for model, name, weights, peak in ENGINES:
        if args.only not in name or (args.no_1b and "llama1b" in name):
            continue
        engine = args.work / name
        work = Work(args.trireme, engine)
        gguf = args.llama1b_gguf if "llama1b" in name else args.smollm2 if name == "smollm2-auto" else None
        for case, batch, n in cases(name):
            rate, ms, command = trireme_case(args, engine, case, batch, n)
            row = {**common, "model": model, "weights": weights, "case": case, "batch": batch}
            row |= {"input_len": n if case == "prefill" else DECODE_INPUT}
            row |= {"output_len": 1 if case == "prefill" else n}
            ours = {**row, "program": "trireme", "tokens_per_s": rate, "step_ms": ms, "command": command}
            tokens = n if case == "prefill" else batch
            measured.append((ours, work, tokens, batch, peak))
            print(f"{model:16} {weights:26} {case} {n if case == 'prefill' else batch:4}: {rate:8.1f} tok/s", end="")
            if args.llama_cpp and gguf:
                theirs, command = llama_case(args, gguf, case, batch, n)
                ours["ratio_to_llama_cpp"] = f"{rate / theirs:.2f}"
                peer = {**row, "program": "llama.cpp", "tokens_per_s": theirs, "command": command}
                peer["step_ms"] = tokens / theirs * 1e3
                measured.append((peer, work, tokens, batch, peak))
                print(f"   llama.cpp {theirs:8.1f}   ratio {rate / theirs:.2f}", end="")
            print(flush=True)
    limits.measure()

    path = args.output or Path("bench/results") / f"cpu-{re.sub('[^a-z0-9]+', '-', device().lower())}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as f:
        out = csv.DictWriter(f, FIELDS, lineterminator="\n")
        out.writeheader()
        for (name, threads), (value, unit) in sorted(limits.best.items()):
            limit = {**common, "threads": threads, "program": "machine", "case": name, "bound": f"{value:g} {unit}"}
            out.writerow({**limit, "command": "bench/machine.c"})
        print(f"\n{'model':16} {'weights':26} {'case':14} {'tok/s':>8} {'step ms':>9} {'floor ms':>9} share")
        for row, work, tokens, n_rows, peak in measured:
            floor, bound = work.floor_s(tokens, n_rows, limits, peak)
            share = floor * 1e3 / row["step_ms"]
            row |= {"floor_ms": f"{floor * 1e3:.3f}", "share": f"{share:.2f}", "bound": bound}
            row |= {"tokens_per_s": f"{row['tokens_per_s']:.1f}", "step_ms": f"{row['step_ms']:.3f}"}
            out.writerow(row)
            if row["program"] == "trireme":
                case = f"{row['case']} {row['input_len'] if row['case'] == 'prefill' else row['batch']}"
                print(f"{row['model']:16} {row['weights']:26} {case:14} {row['tokens_per_s']:>8}", end="")
                print(f" {row['step_ms']:>9} {row['floor_ms']:>9} {share:4.0%} of {bound}")
    print(f"\n{path}: " + ", ".join(f"{k[0]} {v[0]:g} {v[1]}" for k, v in limits.best.items() if k[1] == args.threads))


if __name__ == "__main__":
    main()
