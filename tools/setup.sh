#!/usr/bin/env bash
# Does all the set-up, once: the system's Qt and GL libraries, and .venv with torch and this package.
#
#   tools/setup.sh [dependency group ...]
#
# $PYTHON chooses the interpreter; $TORCH another build or version of torch, as pip takes it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

torch=${TORCH:-torch==2.13.0}
venv_python=.venv/bin/python
libraries=(
    libegl1 libgl1 libgl1-mesa-dri libglib2.0-0 libxkbcommon-x11-0 libdbus-1-3 libfontconfig1
    libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxcb-image0 libxcb-randr0
    libxcb-render-util0 libxcb-xinerama0
)
if [[ -z ${DISPLAY:-}${WAYLAND_DISPLAY:-} ]]; then
    libraries+=(xvfb xauth)
fi

say() { echo "setup: $*" >&2; }
fail() { say "$@"; exit 1; }

apt_install() { # as root; anyone else is told the line that does it
    if ((EUID)); then
        say "system packages are missing; install them with the next line, then run this again"
        echo "sudo apt-get update && sudo apt-get install -y --no-install-recommends $*" >&2
        exit 1
    fi
    say "apt-get install $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

install_libraries() {
    [[ $(uname) == Linux ]] || return 0
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian system: napari needs what Debian calls ${libraries[*]}"
        return 0
    fi
    local name installed missing=()
    installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
    for name in "${libraries[@]}"; do # newer releases call some NAMEt64
        grep -qxE "$name(t64)?" <<<"$installed" || missing+=("$name")
    done
    if ((${#missing[@]})); then
        apt_install "${missing[@]}"
    fi
}

find_python() { # python3 first: it is the one that the user has chosen
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        elif [[ -n ${PYTHON:-} ]]; then
            fail "PYTHON=$PYTHON does not run, or is older than Python 3.11"
        fi
    done
    fail "no Python 3.11 or newer found; install one, or name it: PYTHON=/path/to/python $0"
}

make_venv() {
    if [[ -x $venv_python ]] && "$venv_python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    local python
    python=$(find_python)
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv >/dev/null 2>&1 && return
    # Debian keeps ensurepip in a package of its own; the pip that is there can stand in for it
    "$python" -m venv --clear --without-pip .venv &&
        "$python" -m pip --python "$venv_python" install --quiet pip && return
    apt_install "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    "$python" -m venv --clear .venv
}

install_packages() { # quick the second time: the stamp says what .venv was filled from
    local group groups=() stamp names="$*"
    local stamp_file=".venv/installed-${names// /-}"
    stamp="$PWD $torch $(cksum <pyproject.toml)"
    if [[ $(cat "$stamp_file" 2>/dev/null) == "$stamp" ]]; then
        return
    fi
    for group in "$@"; do
        groups+=(--group "$group")
    done
    say "installing $torch and .[all] ${groups[*]-} into .venv (minutes)"
    "$venv_python" -m pip install --quiet --upgrade "pip>=25.1" >&2
    "$venv_python" -m pip install --quiet "$torch" -e ".[all]" ${groups[@]+"${groups[@]}"} >&2
    echo "$stamp" >"$stamp_file"
}

install_libraries
make_venv
install_packages "$@"
