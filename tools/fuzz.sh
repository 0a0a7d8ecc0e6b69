#!/usr/bin/env bash
# Runs every fuzz target of the module for a while, one after the other.
#
#   tools/fuzz.sh 20s
set -euo pipefail

time=${1:-20s}
cd "$(dirname "$0")/.."

for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u); do
    for target in $(go test -list '^Fuzz' "$dir" | grep '^Fuzz'); do
        echo "== $dir $target"
        go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$dir"
    done
done
