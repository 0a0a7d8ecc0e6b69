#!/usr/bin/env bash
# Builds a tool from tools/<name>/go.mod into a cache and prints the program's
# path. The cache is keyed by the tool's version and Go's, so that it is built
# once per machine and again when either changes.
#
#   tools/build.sh golangci-lint
set -euo pipefail

name=$1
cd "$(dirname "$0")/$name"

package=$(awk '$1 == "tool" { print $2 }' go.mod)
# The module is the longest required path that the package lies in.
version=$(awk -v package="$package" '
    $1 == "require" { sub(/^require +/, "") }
    index(package "/", $1 "/") == 1 && length($1) > longest { longest = length($1); version = $2 }
    END { print version }' go.mod)
program=${XDG_CACHE_HOME:-$HOME/.cache}/orchestrix-tools/$name-$version-$(go env GOVERSION)/$name

if [[ ! -x $program ]]; then
    echo "building $name $version, once for this machine" >&2
    mkdir -p "$(dirname "$program")"
    # Under another name first: an interrupted build must not be taken for one.
    GOWORK=off CGO_ENABLED=0 go build -trimpath -o "$program.$$" "$package"
    mv "$program.$$" "$program"
fi
echo "$program"
