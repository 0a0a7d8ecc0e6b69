#!/usr/bin/env bash
# Makes sure that there is a C compiler, which Go's race detector links with.
# Installs one where that can be done without asking; says how, where it cannot.
set -euo pipefail

cc=$(go env CC)
if command -v "${cc%% *}" >/dev/null; then
    exit 0
fi

echo "no C compiler ($cc): the race detector needs one; installing it" >&2
as_root=()
if [[ $(id -u) -ne 0 ]]; then
    as_root=(sudo -n)
fi
if command -v apt-get >/dev/null; then
    "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -y -qq gcc libc6-dev
elif command -v dnf >/dev/null; then
    "${as_root[@]}" dnf install -y -q gcc glibc-devel
elif command -v apk >/dev/null; then
    "${as_root[@]}" apk add -q gcc musl-dev
fi >&2 || true

if ! command -v "${cc%% *}" >/dev/null; then
    echo "could not install a C compiler: install gcc or clang, or set CC" >&2
    exit 1
fi
