#!/usr/bin/env python3
"""Renderings a second of every oracle template, beside jinja2 in the same run: one CSV line a
template and conversation.  Needs build/bench_templates and build/oracles (tools/fetch_oracles.sh)."""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import jinja_oracle  # noqa: E402

CONVERSATIONS = ("turns", "call and result", "reasoning")


def jinja2_rate(source, inputs, seconds):
    template = jinja_oracle.ENV.from_string(source)
    variables = {**jinja_oracle.MODEL, **inputs}
    begin, n = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        template.render(**variables)
        n += 1
    return n / (time.perf_counter() - begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=str(ROOT / "build" / "bench_templates"))
    parser.add_argument("--seconds", type=float, default=0.2, help="for each measurement")
    parser.add_argument("--out", help="CSV file")
    options = parser.parse_args()
    engine = subprocess.Popen([options.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    conversations = jinja_oracle.conversations()
    rows = []
    for name, source in jinja_oracle.templates(ROOT / "build" / "oracles").items():
        for case in CONVERSATIONS:
            inputs = {"messages": conversations[case], "add_generation_prompt": True}
            if case == "call and result":
                inputs["tools"] = jinja_oracle.TOOLS
            if jinja_oracle.expected(source, inputs, jinja_oracle.MODEL)[1] is not None:
                continue
            request = {"source": source, "inputs": inputs, "model": jinja_oracle.MODEL, "seconds": options.seconds}
            engine.stdin.write(json.dumps(request) + "\n")
            engine.stdin.flush()
            ours = json.loads(engine.stdout.readline())
            if "error" in ours:
                sys.exit(f"{name}, {case}: {ours['error']}")
            theirs = jinja2_rate(source, inputs, options.seconds)
            rows.append([name, case, ours["bytes"], round(ours["renders_per_s"]), round(theirs),
                         round(ours["renders_per_s"] / theirs, 1), round(ours["compile_us"])])
    ratios = [r[5] for r in rows]
    print(f"{len(rows)} cases: {statistics.median(ratios)} times jinja2 in the median, "
          f"{min(ratios)} at least, {max(ratios)} at most")
    if options.out:
        with open(options.out, "w", newline="") as f:
            writer = csv.writer(f)
            writer.writerow(["template", "case", "bytes", "renders_per_s", "jinja2_renders_per_s", "ratio", "compile_us"])
            writer.writerows(rows)


if __name__ == "__main__":
    main()
