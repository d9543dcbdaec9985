#!/usr/bin/env bash
# Install the given tools (command or command=debian-package) that are missing, if this is Debian and the
# user is root. Otherwise print which are missing; the tests decide whether they need them.
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
install() { apt-get -qq install --no-install-recommends "$@" >/dev/null; }
# All together is faster. One by one, a package that cannot be installed does not prevent the others.
install "${missing[@]}" 2>/dev/null || for package in "${missing[@]}"; do
    install "$package" || echo "could not install $package" >&2
done
