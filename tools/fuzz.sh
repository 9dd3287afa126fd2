#!/usr/bin/env bash
# Runs every libFuzzer target for so many seconds, one after the other: fuzz.sh SECONDS [target...].
# New inputs go to build/fuzz/corpus, findings to build/fuzz/findings.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
[ -f build/fuzz/build.ninja ] || cmake --preset fuzz >/dev/null
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for source in tests/fuzz/*_fuzz.c; do targets+=("$(basename "$source" _fuzz.c)"); done
fi
mkdir -p build/fuzz/findings
for target in "${targets[@]}"; do
    cmake --build build/fuzz --target "${target}_fuzz" >/dev/null
    mkdir -p "build/fuzz/corpus/$target"
    echo "== $target, ${seconds} s"
    "build/fuzz/tests/${target}_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix=build/fuzz/findings/"$target"- "build/fuzz/corpus/$target" \
        "tests/fuzz/corpus/$target" 2>&1 | grep -E 'ERROR|SUMMARY|DONE|Done|stat::' || true
done
if [ -n "$(ls build/fuzz/findings)" ]; then
    echo "findings:"
    ls build/fuzz/findings
    exit 1
fi
