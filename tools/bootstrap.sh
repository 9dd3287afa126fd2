#!/usr/bin/env bash
# Installs what a tier needs: bootstrap.sh demo|test|develop.  Idempotent: what is there is left alone, and a
# second run does nothing and says nothing.
#
#   demo      compiler, CMake, Ninja, libraries; pip, to fetch the model
#   test      demo + cmocka and the Python oracles (build/venv)
#   develop   test + clang, clang-format, clang-tidy, libFuzzer
set -euo pipefail
cd "$(dirname "$0")/.."
tier=${1:-demo}

demo_packages=(gcc g++ cmake ninja-build pkg-config ccache python3 python3-venv python3-pip git ca-certificates
    libpcre2-dev libxxhash-dev libutf8proc-dev libedit-dev)
test_packages=(libcmocka-dev)
develop_packages=(clang clang-format clang-tidy libclang-rt-14-dev)
test_modules=(numpy==1.26.4 safetensors==0.4.5 gguf==0.17.1 tokenizers==0.20.3 jinja2==3.1.6 pytest==8.3.5)

case $tier in
demo) packages=("${demo_packages[@]}") ;;
test) packages=("${demo_packages[@]}" "${test_packages[@]}") ;;
develop) packages=("${demo_packages[@]}" "${test_packages[@]}" "${develop_packages[@]}") ;;
*)
    echo "bootstrap.sh: unknown tier '$tier'; the tiers are demo, test, develop" >&2
    exit 2
    ;;
esac

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "bootstrap ($tier): apt-get install ${missing[*]}"
    if [ "$(id -u)" != 0 ]; then
        echo "bootstrap: not root; run the line above as root, then try again" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if [ "$tier" != demo ]; then
    stamp=build/venv/modules.txt
    wanted=$(printf '%s\n' "${test_modules[@]}")
    if [ ! -x build/venv/bin/python ] || [ "$(cat $stamp 2>/dev/null)" != "$wanted" ]; then
        echo "bootstrap ($tier): pip install ${test_modules[*]} (into build/venv)"
        mkdir -p build
        /usr/bin/python3 -m venv build/venv
        build/venv/bin/pip install -q --disable-pip-version-check "${test_modules[@]}"
        printf '%s\n' "$wanted" >$stamp
    fi
fi
