#!/usr/bin/env bash
# Install those of the given tools (command or command=debian-package) that are missing, where that
# is ours to do: as root on Debian. What is missing then is for the tests to judge.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

missing=()
for tool in "$@"; do
    command -v "${tool%%=*}" >/dev/null || missing+=("${tool##*=}")
done
((${#missing[@]})) || exit 0

if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "missing Debian packages: ${missing[*]}" >&2
    exit 0
fi
echo "installing ${missing[*]}"
apt-get -qq update || true
# One by one: a package that cannot be had does not keep the others away.
for package in "${missing[@]}"; do
    apt-get -qq install --no-install-recommends "$package" >/dev/null ||
        echo "could not install $package" >&2
done
