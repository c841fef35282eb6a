#!/bin/sh
# Locks each purpose's dependencies with hashes, for every Python that pyproject.toml allows.
set -eu
cd "$(dirname "$0")/.."

for purpose in serve serve-gpu serve-tracing train loadtest clients generate data-sets performance dev \
    peers peers-bentoml peers-litserve peers-mlserver peers-ray peers-triton; do
    echo "requirements/$purpose.txt"
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
        --extra "$purpose" --output-file "requirements/$purpose.txt" "$@" pyproject.toml
done
