#!/usr/bin/env bash
# Decode and prefill of the default model, by precision: `trireme bench` on an engine of each.
set -euo pipefail
cd "$(dirname "$0")/.."
model=build/models/SmolLM2-135M-Instruct.Q4_1.gguf
for dtype in auto bfloat16 float32; do
    engine=build/engines/smollm2-$dtype
    [ -d $engine ] || build/trireme build --model_dir $model --output_dir $engine --dtype $dtype
    for batch in 1 8; do
        echo "== SmolLM2-135M, dtype $dtype, input 128, output 64, batch $batch"
        build/trireme bench $engine --input_len 128 --output_len 64 --batch $batch
    done
done
