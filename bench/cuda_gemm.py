#!/usr/bin/env python3
"""cuBLASLt, through PyTorch, on the linear layers of Llama-3.1-8B: what a CUDA kernel of ours stands beside.

Prints CSV: dtype, layer, M, K, N, microseconds, TB/s of weights, TFLOP/s, share of the floor.  The floor is the larger
of weight bytes over the card's read bandwidth and flops over its dense rate, both given by --tbps and --tflops (bf16;
fp8 has twice the rate).  Each time is of a CUDA graph of products with weights of their own, more than L2 holds, so
that every product reads its weights from memory: the median of several replays, divided by the number of products.
"""

import argparse
import sys

import torch

LAYERS = {"qkv": (4096, 6144), "dense": (4096, 4096), "fc+gate": (4096, 28672), "proj": (14336, 4096)}
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 2048)


def products(dtype, m, k, n, count):
    """A function that runs `count` products y = x w^T, each with its own weight."""
    weights = [torch.randn(n, k, device="cuda", dtype=torch.bfloat16) / k**0.5 for _ in range(count)]
    x = torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
    if dtype == "bf16":
        y = torch.empty(m, n, device="cuda", dtype=torch.bfloat16)
        return lambda: [torch.mm(x, w.t(), out=y) for w in weights]
    one = torch.ones((), device="cuda")
    weights = [w.to(torch.float8_e4m3fn) for w in weights]
    x8 = x.to(torch.float8_e4m3fn)
    return lambda: [
        torch._scaled_mm(x8, w.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16) for w in weights
    ]


def microseconds(run, count, replays=9):
    run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    times = []
    for _ in range(replays):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / count)
    return sorted(times)[len(times) // 2]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tbps", type=float, default=4.63, help="read bandwidth, TB/s")
    parser.add_argument("--tflops", type=float, default=796, help="dense bf16 rate, TFLOP/s")
    args = parser.parse_args()
    print(f"# {torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    print("dtype,layer,M,K,N,us,TB/s,TFLOP/s,share_of_floor")
    for dtype, width, rate in (("bf16", 2, args.tflops), ("fp8", 1, 2 * args.tflops)):
        for name, (k, n) in LAYERS.items():
            count = max(4, int(400e6 / (n * k * width)))
            for m in ROWS:
                try:
                    us = microseconds(products(dtype, m, k, n, count), count)
                except RuntimeError as error:
                    print(f"{dtype},{name},{m},{k},{n}: {str(error).splitlines()[0]}", file=sys.stderr)
                    continue
                weight_bytes, flops = n * k * width, 2 * m * n * k
                floor = max(weight_bytes / (args.tbps * 1e6), flops / (rate * 1e6))
                tbps, tflops = weight_bytes / us / 1e6, flops / us / 1e6
                print(f"{dtype},{name},{m},{k},{n},{us:.2f},{tbps:.3f},{tflops:.1f},{floor / us:.3f}", flush=True)


if __name__ == "__main__":
    main()
