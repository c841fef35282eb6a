#!/usr/bin/env bash
# grafana-foundation-sdk (releases of 2026-01-29): pip takes the library for the oldest Grafana.
#
# Expected: `pip install grafana-foundation-sdk` brings what is for the newest Grafana, or says that a
# version has to be chosen.
# Happens: it brings 10.1.0, of all releases for Grafana 10.1 to 11.6. They have epochs, which are the
# seconds at which each was built, and the one for the oldest Grafana is built last. An epoch counts
# before the version, so `>=11` takes 10.1.0 too.
# Seen: 2026-11-30, with pip 23.2.1 on Python 3.11.
#
# Ends with 0 when it is so, with 1 when that has changed, with 2 when it could not be tried.
set -euo pipefail

PYTHON=${PYTHON:-python3}
NAME=grafana-foundation-sdk
NEWER=1769699379!11.6.0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$PYTHON" -m venv "$work/venv"
taken() {
    rm -rf "$work/wheels"
    "$work/venv/bin/pip" --disable-pip-version-check download --quiet --no-deps --dest "$work/wheels" "$1" \
        >"$work/log" 2>&1 || return 1
    (cd "$work/wheels" && echo *.whl)
}

# The control: the release for a newer Grafana is there.
if ! newer=$(taken "$NAME==$NEWER"); then
    tail -n 3 "$work/log"
    echo "could not be tried: $NAME==$NEWER cannot be downloaded"
    exit 2
fi
echo "$NAME==$NEWER: $newer"

for wanted in "$NAME" "$NAME>=11"; do
    wheel=$(taken "$wanted")
    echo "$wanted: $wheel"
    case $wheel in
    *'!10.1.0-'*) ;;
    *)
        echo "CHANGED: it was the one for Grafana 10.1"
        exit 1
        ;;
    esac
done
echo "as stated"
