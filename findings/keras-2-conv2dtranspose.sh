#!/usr/bin/env bash
# Versions: keras 3.15.1, tf-keras 2.21.0, tensorflow-cpu 2.21.0 (PyPI).
#
# Keras 3 documents HDF5 as the legacy format that load_model still reads, so a model of built-in layers
# that Keras 2 saved is expected to load.
#
# It does not where a Conv2DTranspose is in it: Keras 2 writes "groups": 1 into that layer's configuration,
# and Keras 3's layer takes no such argument. So hardly a generator of Keras 2 is read by Keras 3. Keras 2
# itself, which lives on as tf-keras, reads the file. Controls: the same file through tf-keras, and a model
# with Conv2D in its place through Keras 3.
#
# Seen: 2026-11-30, on Python 3.11.
#
# Ends with 0 when it is so, with 1 when that has changed, with 2 when it could not be tried.
set -euo pipefail

PYTHON=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$PYTHON" -m venv "$folder/venv"
# --no-deps: tf-keras asks for the distribution tensorflow, which has the files of tensorflow-cpu.
pip() { "$folder/venv/bin/pip" --quiet --disable-pip-version-check "$@"; }
if ! pip install keras==3.15.1 tensorflow-cpu==2.21.0 || ! pip install --no-deps tf-keras==2.21.0; then
    echo "could not be tried: the packages cannot be installed"
    exit 2
fi

cat > "$folder/try.py" <<'PY'
import sys
import keras
import tf_keras

folder = sys.argv[1]


def saved(name, layer):
    layers = tf_keras.layers
    start = [layers.Dense(64, input_shape=(4,)), layers.Reshape((4, 4, 4))]
    path = f"{folder}/{name}.h5"
    tf_keras.Sequential([*start, layer(3, 3, padding="same")]).save(path)
    return path


def loads(library, path):
    try:
        library.models.load_model(path, compile=False)
    except Exception as error:
        groups = [line for line in str(error).splitlines() if "groups" in line and "Unrec" in line]
        print(f"{library.__name__} {path.rpartition('/')[2]}: {(groups or [error])[0]}")
        return False
    print(f"{library.__name__} {path.rpartition('/')[2]}: loaded")
    return True


transposed = saved("transposed", tf_keras.layers.Conv2DTranspose)
plain = saved("plain", tf_keras.layers.Conv2D)
as_said = not loads(keras, transposed) and loads(tf_keras, transposed) and loads(keras, plain)
sys.exit(0 if as_said else 1)
PY

if TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/try.py" "$folder" 2>/dev/null; then
    echo "as stated"
else
    echo "CHANGED: look at what is printed above"
    exit 1
fi
