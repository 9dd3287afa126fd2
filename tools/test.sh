#!/usr/bin/env bash
# Runs all tests and adds up: the last line is `N passed, N failed, N skipped`.
#
#   1. C tests (cmocka) and fuzz corpora, release
#   2. the same under AddressSanitizer and UndefinedBehaviorSanitizer
#   3. threads under ThreadSanitizer
#   4. end to end (pytest), the built binary against Python oracles
#   5. out-of-tree examples, built from the installed files
set -uo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/logs
passed=0 failed=0 skipped=0
jobs=$(nproc)

ctest_run() { # preset, ctest arguments...
    local preset=$1 dir=build
    shift
    [ "$preset" = release ] || dir=build/$preset
    local log=build/logs/$preset.log
    echo "== $preset: build"
    # Every time: what `make` configured may have been without cmocka.
    cmake --preset "$preset" -DTRI_TESTS=ON >$log 2>&1 || { cat $log; failed=$((failed + 1)); return; }
    if ! cmake --build $dir --target check_programs >$log 2>&1; then
        tail -40 $log
        failed=$((failed + 1))
        return
    fi
    echo "== $preset: test"
    ctest --test-dir $dir -j "$jobs" --output-on-failure --timeout 300 "$@" >$log 2>&1
    local total fails
    total=$(grep -cE '^ *[0-9]+/[0-9]+ Test' $log)
    fails=$(grep -cE '^ *[0-9]+/[0-9]+ Test.*(Failed|Timeout|Exception|Not Run)' $log)
    [ "$total" -gt 0 ] || fails=1
    [ "$fails" -eq 0 ] || grep -vE 'Passed' $log | tail -150
    echo "   $((total - fails)) passed, $fails failed"
    passed=$((passed + total - fails)) failed=$((failed + fails))
}

tools/fetch_model.sh || exit 1
ctest_run release
ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 ctest_run asan
ctest_run tsan -R 'thread|comm|executor'

echo "== end to end"
log=build/logs/e2e.log
build/venv/bin/python -m pytest -q -x --maxfail=10 -rs tests/e2e >$log 2>&1
status=$?
count() { grep -oE "[0-9]+ $1" $log | tail -1 | grep -oE '[0-9]+' || echo 0; }
tail -3 $log
passed=$((passed + $(count passed))) failed=$((failed + $(count failed) + $(count error)))
skipped=$((skipped + $(count skipped)))
if [ $status -ne 0 ]; then
    tail -100 $log
    [ "$failed" -gt 0 ] || failed=1
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
