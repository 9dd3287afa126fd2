"""MB/s on one core beside the `tokenizers` package: the same text, the same tokenizer.json, one run.

    python bench/tokenizers.py [--text FILE] [TOKENIZER.json ...]

Without files: the Llama-3 and Qwen2 vocabularies of build/oracles with their models' pipelines, and English text from
the licences and documentation that Debian and Python bring.  Processor time, so that a busy machine does not count;
the package runs on one thread (TOKENIZERS_PARALLELISM=false).  Its encode also keeps each token's text and offsets;
there is no way to ask it for ids alone from Python but encode_batch_fast, which is what is timed where it exists."""

import argparse
import glob
import json
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
ROOT = Path(__file__).resolve().parents[1]
# Not this folder: it holds a file of the package's name.
sys.path[0] = str(ROOT / "tests" / "e2e")

import tokenizers  # noqa: E402

DOCUMENTS = "/usr/share/common-licenses/*", "/usr/share/doc/**/copyright", "/usr/lib/python3*/**/*.txt", "/usr/lib/python3*/pydoc_data/topics.py"


def english(path, n_bytes):
    files = sorted(f for pattern in DOCUMENTS for f in glob.glob(pattern, recursive=True) if os.path.isfile(f))
    text = b"".join(Path(f).read_bytes() for f in files).decode("utf-8", "ignore").encode()
    Path(path).write_bytes((text * (n_bytes // len(text) + 1))[:n_bytes] if len(text) < n_bytes else text[:n_bytes])


def theirs(path, text, rounds):
    start = time.process_time()
    t = tokenizers.Tokenizer.from_file(path)
    load = time.process_time() - start
    # Documents of some KB, as it is used: one text of megabytes makes its offsets quadratic.
    documents = ["".join(lines) for lines in chunks(text)]
    encode = getattr(t, "encode_batch_fast", t.encode_batch)
    best = 1e9
    for _ in range(rounds):
        start = time.process_time()
        encoded = encode(documents, add_special_tokens=False)
        best = min(best, time.process_time() - start)
    return load, best, sum(len(e.ids) for e in encoded)


def chunks(text):
    lines = text.splitlines(keepends=True)
    return [lines[i : i + 200] for i in range(0, len(lines), 200)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*")
    parser.add_argument("--text")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=10)
    parser.add_argument("--bench", default=str(ROOT / "build" / "bench_tokenizers"))
    parser.add_argument("--scratch", default=str(ROOT / "build" / "scratch"))
    args = parser.parse_args()
    scratch = Path(args.scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    files = args.files
    if not files:
        import tokenizer_oracle

        for name in ("llama-bpe", "qwen2"):
            path = scratch / f"{name}.json"
            if not path.exists():
                tokenizer_oracle.family(name)[0].save(str(path))
            files = files + [str(path)]
    text_path = args.text or str(scratch / "english.txt")
    if not args.text:
        english(text_path, args.megabytes * 1_000_000)
    text = Path(text_path).read_text(encoding="utf-8", errors="replace")
    megabytes = len(text.encode()) / 1e6
    print("tokenizer,MB/s,tokenizers MB/s,ratio,load ms,tokenizers load ms,MB/s decode")
    for path in files:
        run = subprocess.run([args.bench, path, text_path, "1", str(args.rounds)], stdout=subprocess.PIPE, check=True)
        ours = json.loads(run.stdout)
        load, seconds, n_ids = theirs(path, text, args.rounds)
        speed, other = megabytes / ours["encode_s"], megabytes / seconds
        print(
            f"{Path(path).stem},{speed:.1f},{other:.1f},{speed / other:.1f},{ours['load_s'] * 1e3:.0f},{load * 1e3:.0f},"
            f"{megabytes / ours['decode_s']:.0f}"
        )
        # Cut into documents, some words at their edges differ.
        if abs(n_ids - ours["n_ids"]) > n_ids * 0.001:
            print(f"{path}: {ours['n_ids']} ids, the package gave {n_ids}", file=sys.stderr)


if __name__ == "__main__":
    main()
