#!/usr/bin/env bash
# Installs what a tier needs on Debian 12: bootstrap.sh demo|test|develop.  Idempotent: what is there is left alone,
# and a second run does nothing and says nothing.
#
#   demo      C compiler, CMake, Ninja, libraries; pip, to fetch the model
#   test      demo + cmocka, a C++ compiler and, in build/venv, the Python oracles and the compiler of CUDA kernels
#   develop   test + clang, clang-format, clang-tidy, libFuzzer
set -euo pipefail
cd "$(dirname "$0")/.."
tier=${1:-demo}

demo_packages=(gcc libc6-dev cmake ninja-build pkg-config ccache git ca-certificates python3 python3-pip
    libxxhash-dev libutf8proc-dev libedit-dev)
test_packages=(g++ libcmocka-dev libpcre2-dev python3-venv)
develop_packages=(clang clang-format clang-tidy libclang-rt-14-dev)
test_modules=(numpy==1.26.4 safetensors==0.4.5 gguf==0.17.1 tokenizers==0.20.3 jinja2==3.1.6 pytest==8.3.5
    sentencepiece==0.2.3 tiktoken==0.14.0 mistral-common==1.13.1 nvidia-cuda-nvrtc==13.0.88)

case $tier in
demo) packages=("${demo_packages[@]}") ;;
test) packages=("${demo_packages[@]}" "${test_packages[@]}") ;;
develop) packages=("${demo_packages[@]}" "${test_packages[@]}" "${develop_packages[@]}") ;;
*)
    echo "bootstrap.sh: unknown tier '$tier'; the tiers are demo, test, develop" >&2
    exit 2
    ;;
esac

installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null |
    sed -n 's/ installed$//p' || true)
missing=()
for package in "${packages[@]}"; do
    grep -qxF "$package" <<<"$installed" || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "bootstrap ($tier): apt-get install ${missing[*]}"
    if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        cat >&2 <<END
bootstrap: that takes apt-get and root.  Run the line above as root and try again; or, where these things are
installed by other means, leave the set-up out: cmake --preset release && cmake --build build
END
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt=(apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -40 "$log" >&2
        exit 1
    fi
fi

if [ "$tier" != demo ]; then
    stamp=build/venv/modules.txt
    wanted=$(printf '%s\n' "${test_modules[@]}")
    if [ ! -x build/venv/bin/python ] || [ "$(cat $stamp 2>/dev/null)" != "$wanted" ]; then
        echo "bootstrap ($tier): pip install ${test_modules[*]} (into build/venv)"
        mkdir -p build
        /usr/bin/python3 -m venv build/venv
        build/venv/bin/python -m pip install -q --disable-pip-version-check "${test_modules[@]}"
        printf '%s\n' "$wanted" >$stamp
    fi
fi
