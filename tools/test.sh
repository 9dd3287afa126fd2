#!/usr/bin/env bash
# Runs all tests and adds up: the last line is `N passed, N failed, N skipped`.
#
#   1. C tests (cmocka) and fuzz corpora, release; a program counts as one
#   2. the same under AddressSanitizer and UndefinedBehaviorSanitizer
#   3. threads, ranks and executor under ThreadSanitizer
#   4. end to end (pytest): the built binary and the installed library against Python oracles, examples
#      and a plugin built out of tree
#   5. damaged and hostile files, end to end, under AddressSanitizer
#   6. beside 4 and 5: tokenizers and chat templates against their oracles
#
# What each step printed is in build/logs.
set -uo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/logs
passed=0 failed=0 skipped=0
jobs=$(nproc)

add() { # passed, failed, skipped
    echo "   $1 passed, $2 failed, $3 skipped"
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

ctest_run() { # preset, target to build, ctest arguments...
    local preset=$1 dir=build log=build/logs/$1.log targets=$2
    shift 2
    [ "$preset" = release ] || dir=build/$preset
    echo "== $preset: build"
    # Configured every time: what `make` configured may have been without cmocka.
    if ! { cmake --preset "$preset" -DTRI_TESTS=ON && cmake --build $dir --target $targets; } >$log 2>&1; then
        tail -40 $log
        add 0 1 0
        return
    fi
    echo "== $preset: test"
    ctest --test-dir $dir -j "$jobs" --output-on-failure --timeout 300 "$@" >$log 2>&1
    local total fails skips
    total=$(grep -cE '^ *[0-9]+/[0-9]+ Test' $log)
    fails=$(grep -cE '^ *[0-9]+/[0-9]+ Test.*\*\*\*' $log)
    # a test that a program passes over counts beside the program
    skips=$(sed -nE 's/^\[  SKIPPED \] ([0-9]+) test.*/\1/p' $dir/Testing/Temporary/LastTest.log |
        paste -sd+ | sed 's/^$/0/')
    if [ "$total" -eq 0 ]; then # nothing ran: that is no success
        tail -20 $log
        total=1 fails=1
    fi
    [ "$fails" -eq 0 ] || grep -vE 'Passed|^ *Start ' $log | tail -150
    add $((total - fails)) "$fails" $((skips))
}

pytest_run() { # name of the log and the scratch directory, pytest arguments...
    local name=$1
    shift
    build/venv/bin/python -m pytest -q -p no:cacheprovider --maxfail=10 -rs --scratch build/$name "$@" >build/logs/$name.log 2>&1
}

pytest_count() { # name, exit status
    local log=build/logs/$1.log status=$2 summary fails
    summary=$(tail -1 $log)
    count() { echo "$summary" | grep -oE "[0-9]+ $1" | grep -oE '[0-9]+' || echo 0; }
    fails=$(($(count failed) + $(count error)))
    [ $status -eq 0 ] || [ $fails -gt 0 ] || fails=1
    if [ $fails -gt 0 ]; then
        tail -150 $log
    else
        grep -E '^test_.*: |^  .*Warning: |^SKIPPED' $log # what was measured, allowed, passed over
    fi
    add "$(count passed)" $fails "$(count skipped)"
}

tools/fetch_model.sh || { echo "the model cannot be fetched"; add 0 1 0; }
tools/fetch_oracles.sh || { echo "the vocabularies to compare with cannot be fetched"; add 0 1 0; }
# CUDA kernels are compiled without a GPU; where the machine has no NVRTC of its own, by the one from PyPI.
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$(echo "$PWD"/build/venv/lib/python3*/site-packages/nvidia/cu13/lib)
sanitize=detect_leaks=1:allocator_may_return_null=1
ctest_run release check_programs
ASAN_OPTIONS=$sanitize ctest_run asan check_programs
threaded="base_thread device_comm engine_ranks executor_executor"
ctest_run tsan "$(printf 'test_%s_test ' $threaded)" -R "$(echo $threaded | sed 's/_/./g; s/ /|/g')"

# The oracles of the text library keep one core busy: beside the rest.
text=(tests/e2e/test_{templates,tokenizers,vocabularies}.py)
pytest_run e2e-text "${text[@]}" &
text_run=$!
echo "== end to end"
pytest_run e2e tests/e2e $(printf -- '--ignore %s ' "${text[@]}")
pytest_count e2e $?
echo "== end to end, asan"
ASAN_OPTIONS=$sanitize pytest_run e2e-asan tests/e2e --binaries build/asan \
    -k 'truncated or flipped or damaged or cannot_be or missing or refused'
pytest_count e2e-asan $?
echo "== end to end, text"
wait $text_run
pytest_count e2e-text $?

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
