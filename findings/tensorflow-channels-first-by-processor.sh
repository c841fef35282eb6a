#!/usr/bin/env bash
# tensorflow 2.21.0: the processor decides whether a generator with its channels first can draw.
#
# Expected: a Keras model runs on any processor, or on none.
# Happens: TensorFlow's own kernels refuse a transposed convolution with channels_first, oneDNN's take
# it; and TensorFlow uses oneDNN by itself where the processor has AVX512-VNNI or better, not where
# it has AVX2 alone. So a model that was trained and tried on one host raises on the next.
# TF_ENABLE_ONEDNN_OPTS=1, set before the import, lets it run on both.
# Seen: 2026-12-01, on Linux, with Python 3.11: with 0 "Conv2DCustomBackpropInputOp only supports
# NHWC", with 1 an image; without either, on an EPYC with AVX2 alone, the error.
#
# The control is the same model with its channels last, which draws either way.
#
# Ends with 0 when it is so, with 1 when that has changed, with 2 when it could not be tried.
set -euo pipefail

PYTHON=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/draw.py" <<'PYTHON'
import sys

import keras
import numpy as np
import tensorflow as tf
from keras import layers

shape = {"channels_first": (8, 4, 4), "channels_last": (4, 4, 8)}[sys.argv[1]]
model = keras.Sequential(
    [
        keras.Input((16,)),
        layers.Dense(128),
        layers.Reshape(shape),
        layers.Conv2DTranspose(3, 4, strides=2, padding="same", data_format=sys.argv[1]),
    ]
)
try:
    drawn = tf.function(lambda latents: model(latents))(np.zeros((2, 16), np.float32))
except tf.errors.InvalidArgumentError as error:
    print(str(error).splitlines()[0][-70:])
    sys.exit(3)
print("draws", drawn.shape)
PYTHON

packages=(tensorflow==2.21.0 keras==3.15.1)
"$PYTHON" -m venv "$work/venv"
if ! "$work/venv/bin/pip" --disable-pip-version-check install --quiet "${packages[@]}" 2>"$work/pip"; then
    tail -n 3 "$work/pip"
    echo "could not be tried: ${packages[*]} cannot be installed"
    exit 2
fi
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=

draws() { # SETTING CHANNELS: whether it does; 'itself' leaves oneDNN to TensorFlow
    local told status=0 setting=(TF_ENABLE_ONEDNN_OPTS="$1")
    [ "$1" != itself ] || setting=(-u TF_ENABLE_ONEDNN_OPTS)
    told=$(env "${setting[@]}" "$work/venv/bin/python" "$work/draw.py" "$2" 2>/dev/null) || status=$?
    echo "oneDNN $1, $2: $told"
    return "$status"
}

by_itself=no
draws itself channels_first && by_itself=yes
vnni=no
grep -qw avx512_vnni /proc/cpuinfo && vnni=yes
echo "AVX512-VNNI on this processor: $vnni"
if ! draws 0 channels_last || ! draws 1 channels_last; then
    echo "could not be tried: the control does not draw"
    exit 2
fi
if draws 0 channels_first || ! draws 1 channels_first || [ $by_itself != $vnni ]; then
    echo "CHANGED: oneDNN, or the processor, decides no longer"
    exit 1
fi
echo "as stated: the processor decides"
