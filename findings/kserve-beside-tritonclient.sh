#!/usr/bin/env bash
# kserve 0.21.0 and tritonclient 2.73.0: one Python process cannot import both clients' gRPC parts.
#
# Expected: two clients of the same protocol are two libraries, and a program that compares servers
# imports both.
# Happens: `import tritonclient.grpc` and then `import kserve`, even for its REST client alone, raises
# TypeError "duplicate symbol 'inference.ServerLiveRequest'"; in the other order it is the same with
# tritonclient. Both register the protocol's messages, in files of other names, in protobuf's one
# pool of descriptors, and `import kserve` always does. tritonclient.http beside kserve works.
# Seen: 2026-11-30, with protobuf 6.33.6, as pip resolves it, on Python 3.11.
#
# Ends with 0 when it is so, with 1 when that has changed, with 2 when it could not be tried.
set -euo pipefail

PYTHON=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$PYTHON" -m venv "$work/venv"
if ! "$work/venv/bin/pip" --disable-pip-version-check install --quiet \
    kserve==0.21.0 'tritonclient[all]==2.73.0' >"$work/installed" 2>&1; then
    tail -n 3 "$work/installed"
    echo "could not be tried: the clients cannot be installed"
    exit 2
fi
"$work/venv/bin/pip" list 2>/dev/null | grep -E '^(kserve|protobuf|tritonclient) '

imports() { # modules, in one process; prints the last line of what is raised
    "$work/venv/bin/python" -W ignore -c "import importlib, sys; [importlib.import_module(x) for x in sys.argv[1:]]" \
        "$@" 2>&1 | tail -n 1 || true
}

# The controls: each alone, and the HTTP client beside kserve.
for modules in tritonclient.grpc kserve "tritonclient.http kserve"; do
    # shellcheck disable=SC2086
    said=$(imports $modules)
    [ -z "$said" ] || { echo "could not be tried: $modules: $said"; exit 2; }
    echo "$modules: imported"
done

for modules in "tritonclient.grpc kserve" "kserve tritonclient.grpc"; do
    # shellcheck disable=SC2086
    said=$(imports $modules)
    echo "$modules: ${said:-imported}"
    case $said in
    *"duplicate symbol 'inference."*) ;;
    *) echo "CHANGED: both can be imported, or fail for another reason"; exit 1 ;;
    esac
done
echo "as stated"
