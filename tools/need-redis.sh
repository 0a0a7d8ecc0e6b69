#!/usr/bin/env bash
# Makes sure that there is a redis-server, 7.0 or newer, which the tests of the
# engine on Redis start for themselves. Installs one where that can be done
# without asking; says how, where it cannot.
set -euo pipefail

if command -v redis-server >/dev/null; then
    exit 0
fi

echo "no redis-server: the tests of the engine on Redis need one; installing it" >&2
as_root=()
if [[ $(id -u) -ne 0 ]]; then
    as_root=(sudo -n)
fi
if command -v apt-get >/dev/null; then
    "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -y -qq redis-server
elif command -v dnf >/dev/null; then
    "${as_root[@]}" dnf install -y -q redis
elif command -v apk >/dev/null; then
    "${as_root[@]}" apk add -q redis
elif command -v brew >/dev/null; then
    brew install -q redis
fi >&2 || true

if ! command -v redis-server >/dev/null; then
    echo "could not install redis-server: install Redis 7.0 or newer, and have redis-server in the PATH" >&2
    exit 1
fi
