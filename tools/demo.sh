#!/usr/bin/env bash
# Builds an engine from the default model (once; `run` caches it) and asks it a question.
set -euo pipefail
cd "$(dirname "$0")/.."
model=build/models/SmolLM2-135M-Instruct.Q4_1.gguf
question=${1:-What is a black hole, in one sentence?}
export XDG_CACHE_HOME=${XDG_CACHE_HOME:-$PWD/build/cache}
set -- build/trireme run $model --prompt "$question" --max_tokens 128
echo "\$ $1 $2 $3 $4 \"$5\" $6 $7"
"$@"
