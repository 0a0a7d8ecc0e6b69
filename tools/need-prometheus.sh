#!/usr/bin/env bash
# Makes sure that there are prometheus and promtool, 2.40 or newer, which the tests of
# the dashboards and alerts start for themselves. Installs them where that can be done
# without asking; says how, where it cannot.
set -euo pipefail

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    exit 0
fi

echo "no prometheus: the tests of the dashboards and alerts need it; installing it" >&2
as_root=()
if [[ $(id -u) -ne 0 ]]; then
    as_root=(sudo -n)
fi
if command -v apt-get >/dev/null; then
    "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -y -qq --no-install-recommends prometheus
elif command -v apk >/dev/null; then
    "${as_root[@]}" apk add -q prometheus
elif command -v brew >/dev/null; then
    brew install -q prometheus
fi >&2 || true

if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
    echo "could not install prometheus: install 2.40 or newer, and have prometheus and promtool in the PATH" >&2
    exit 1
fi
