#!/usr/bin/env bash
# Style, checked: clang-format, the layers of tools/layers.txt, clang-tidy.  Says what is wrong, then fails.
#
# clang-tidy looks at a source file again only when it, a header, the checks or the build's flags have changed: that it
# was clean is remembered in build/tidy/ under the hash of all these.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0

echo "== format"
git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror || failed=1

echo "== layers"
python3 tools/check_layers.py || failed=1

echo "== clang-tidy"
cmake --preset release >/dev/null || exit 1
mkdir -p build/tidy
common=$(git ls-files 'src/*.h' 'include/*.h' 'src/*.def' .clang-tidy | xargs cat build/compile_commands.json | sha256sum)
export common

check() {
    local clean out
    clean=build/tidy/$({ echo "$1 $common"; cat "$1"; } | sha256sum | cut -c1-32)
    [ -f "$clean" ] && return
    # Flags of GCC that clang does not know are no concern here.
    if out=$(clang-tidy -p build --quiet --warnings-as-errors='*' --extra-arg=-Wno-unknown-warning-option "$1" 2>&1); then
        touch "$clean"
    else
        grep -E 'error:' <<<"$out" || echo "$out"
        return 1
    fi
}
export -f check
git ls-files 'src/*.c' | xargs -P "$(nproc)" -I{} bash -c 'check {}' || failed=1

[ $failed -eq 0 ] && echo "tidy: clean"
exit $failed
