#!/usr/bin/env bash
# Style, checked: clang-format, the layers of tools/layers.txt, clang-tidy.  Says what is wrong, then fails.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0

echo "== format"
git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror 2>&1 | head -40
[ "${PIPESTATUS[1]}" -eq 0 ] || failed=1

echo "== layers"
python3 tools/check_layers.py || failed=1

echo "== clang-tidy"
[ -f build/build.ninja ] || cmake --preset release >/dev/null || failed=1
git ls-files 'src/*.c' | xargs -P "$(nproc)" -n 8 clang-tidy -p build --quiet \
    --extra-arg=-Wno-unknown-warning-option 2>/dev/null |
    grep -E 'warning:|error:' | sort -u | head -40 && failed=1

[ $failed -eq 0 ] && echo "tidy: clean"
exit $failed
