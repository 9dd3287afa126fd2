#!/usr/bin/env bash
# Fetches what the tokenizer and template tests compare with: the vocabularies with expected tokens and the chat
# templates in the source distribution of llama-cpp-python, from PyPI, into build/oracles.  Prints nothing when there is
# nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.3.36
oracles=build/oracles
[ "$(cat $oracles/version 2>/dev/null)" = $version ] && exit 0
mkdir -p build
echo "fetching vocabularies and chat templates (77 MB, llama-cpp-python $version) from PyPI into $oracles"
download=$(mktemp -d build/oracles.XXXXXX)
trap 'rm -rf "$download"' EXIT
python3 -m pip download -q --disable-pip-version-check --no-deps --no-binary llama-cpp-python -d "$download" \
    llama-cpp-python==$version
inside=llama_cpp_python-$version/vendor/llama.cpp/models
tar -xzf "$download"/llama_cpp_python-$version.tar.gz -C "$download" $inside
mkdir -p $oracles
cp -r "$download/$inside/." $oracles
echo $version >$oracles/version
