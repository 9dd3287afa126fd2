#!/usr/bin/env python3
"""Runs a command and prints the most memory that it held at once, in MB (1e6 bytes).

    memory.py [--every SECONDS] COMMAND [ARG ...]

anonymous   memory of its own: heap, stacks, buffers (RssAnon); what a weight copied by mistake would add to
resident    with the pages of mapped files, which the system can take back at any time

Sampled from /proc/PID/status, so that a peak shorter than the interval can be missed.  `limit` in tests/e2e/test_big.py
holds the same without sampling, on a smaller model.
"""

import argparse
import subprocess
import sys
import time


def read_mb(pid):
    fields = {}
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            for line in f:
                name, _, value = line.partition(":")
                if name in ("RssAnon", "RssFile", "RssShmem"):
                    fields[name] = int(value.split()[0]) * 1024 / 1e6
    except OSError:
        pass  # it has ended
    return fields.get("RssAnon", 0), sum(fields.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=float, default=0.02, metavar="SECONDS")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    start = time.monotonic()
    process = subprocess.Popen(args.command)
    anonymous = resident = samples = 0
    while process.poll() is None:
        a, r = read_mb(process.pid)
        anonymous, resident, samples = max(anonymous, a), max(resident, r), samples + 1
        time.sleep(args.every)
    seconds = time.monotonic() - start
    print(f"anonymous {anonymous:.1f} MB, resident {resident:.1f} MB, {seconds:.1f} s, {samples} samples")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
