#!/usr/bin/env bash
# gunicorn 27.0.1: the extra `fast` cannot be installed.
#
# Expected: `pip install 'gunicorn[fast]'` brings gunicorn's parser in C, gunicorn_h1c, as gunicorn's
# own package metadata says.
# Happens: pip finds nothing to install. The extra wants gunicorn_h1c>=0.6.14, and the newest release
# on PyPI is 0.6.10. To install that one by hand takes a C compiler on Linux: every release is a
# source archive and wheels for macOS on arm64.
# Seen: 2026-11-29, with pip 23.2.1 on Python 3.11.
#
# Ends with 0 when it is so, with 1 when that has changed, with 2 when it could not be tried.
set -euo pipefail

PYTHON=${PYTHON:-python3}
GUNICORN=27.0.1
WANTED=0.6.14
NEWEST=0.6.10

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$PYTHON" -m venv "$work/venv"
pip() { "$work/venv/bin/pip" --disable-pip-version-check "$@"; }

changed() {
    echo "CHANGED: $*"
    exit 1
}

pip --version | cut -d' ' -f1,2

# The control: the index answers, and gunicorn without the extra can be installed.
if ! pip install --quiet --dry-run "gunicorn==$GUNICORN" >"$work/plain" 2>&1; then
    tail -n 3 "$work/plain"
    echo "could not be tried: gunicorn $GUNICORN itself cannot be installed"
    exit 2
fi
echo "gunicorn==$GUNICORN can be installed"

if pip install --quiet --dry-run "gunicorn[fast]==$GUNICORN" >"$work/fast" 2>&1; then
    changed "gunicorn[fast]==$GUNICORN can be installed"
fi
grep '^ERROR' "$work/fast" || true
grep -q "No matching distribution found for gunicorn.h1c>=$WANTED" "$work/fast" ||
    changed "gunicorn[fast]==$GUNICORN cannot be installed for another reason"
echo "gunicorn[fast]==$GUNICORN cannot be installed"

# All releases: pip lists them when it is asked for one that cannot be.
pip download --quiet --no-deps --dest "$work" 'gunicorn_h1c==0' >"$work/releases" 2>&1 || true
newest=$(grep -o 'from versions: [^)]*' "$work/releases" | grep -oE '[0-9.]+$' || true)
echo "the newest gunicorn_h1c is $newest"
[ "$newest" = "$NEWEST" ] || changed "it was $NEWEST"

# Wheels for Linux, of any release: glibc and musl, two kinds of processors, each Python.
platforms=()
for arch in x86_64 aarch64; do
    for libc in linux manylinux1 manylinux2010 manylinux2014 manylinux_2_{5..40} musllinux_1_{1..2}; do
        platforms+=(--platform "${libc}_$arch")
    done
done
for version in 3.10 3.11 3.12 3.13 3.14; do
    if pip download --quiet --no-deps --only-binary :all: "${platforms[@]}" --python-version "$version" \
        --dest "$work" gunicorn_h1c >"$work/wheels" 2>&1; then
        changed "there is a wheel for Linux and Python $version: $(ls "$work"/*.whl)"
    fi
    grep -q 'from versions: none' "$work/wheels" || changed "pip says: $(tail -n 1 "$work/wheels")"
    echo "no release of gunicorn_h1c has a wheel for Linux and Python $version"
done
echo "as stated"
