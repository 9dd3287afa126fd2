#!/usr/bin/env bash
# Prefill and decode on this CPU as shares of what the machine can do, and beside llama.cpp where it is at hand.
#
#   bench/cpu.sh [OPTIONS OF bench/measure.py]      bench/measure.py --help
#
# Makes what it measures: engines of SmolLM2-135M by precision, and of a model of Llama-3.2-1B's shape with random
# weights (5 GB under build/bench; --no_1b leaves it out).  Results: bench/results/cpu-<device>.csv.
set -euo pipefail
cd "$(dirname "$0")/.."
work=build/bench
smollm2=build/models/SmolLM2-135M-Instruct.Q4_1.gguf
mkdir -p $work bench/results
[ -s $smollm2 ] || tools/fetch_model.sh
[ $work/machine -nt bench/machine.c ] || cc -O2 -D_GNU_SOURCE -pthread bench/machine.c -o $work/machine

build() {
    local name=$1 model=$2
    shift 2
    [ -d $work/"$name" ] || build/trireme build --model_dir "$model" --output_dir $work/"$name" "$@"
}
for dtype in auto bfloat16 float32; do
    build smollm2-$dtype $smollm2 --dtype $dtype
done
case " $* " in
*" --no_1b "*) ;;
*)
    if [ ! -d $work/llama1b-bfloat16 ]; then
        [ -s $work/llama1b-hf/model.safetensors ] || python3 bench/make_model.py 1b $work/llama1b-hf
        build llama1b-bfloat16 $work/llama1b-hf
    fi
    ;;
esac
python3 bench/measure.py --work $work --smollm2 $smollm2 "$@"
