"""Train the classifier that judges images: ``python -m training.evaluation.train_classifier``."""

import argparse
import sys
from pathlib import Path

from training.quiet import import_tensorflow

DESCRIPTION = """\
Train the small classifier of CIFAR-10's ten classes whose features the evaluation measures with, on
the 50,000 images of the training split, and print its accuracy on the 10,000 others. The weights
that are in the repository were made so; other weights give other distances."""


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the settings on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluation.train_classifier",
        description=DESCRIPTION,
        epilog="example: python -m training.evaluation.train_classifier --out build/classifier.npz",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="file to write the weights to, e.g. classifier.npz")
    add("--data-path", type=Path, help="folder that holds CIFAR-10 already")
    add("--epochs", type=int, default=12, help="passes over the images (default: 12)")
    add("--seed", type=int, default=0)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Train as the command line says; return the exit status."""
    settings = parse(argv)
    import_tensorflow()  # it takes seconds
    from training.data import DataError

    try:
        accuracy = train(settings)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; nothing was written", file=sys.stderr)
        return 130
    print(f"done: {settings.out}, right about {accuracy:.1%} of the test images")
    return 0


def train(settings: argparse.Namespace) -> float:
    """Train, write the weights, and return the share of test images that get their own class."""
    import keras
    import tensorflow as tf

    from training.data.cifar10 import fetch_all_classes, read_all_classes
    from training.evaluation import classifier

    path = settings.data_path
    (images, labels), (test, test_labels) = read_all_classes(path) if path else fetch_all_classes()
    keras.utils.set_random_seed(settings.seed)
    network = classifier.build()
    logits = keras.Model(network.input, network.output[1])
    steps = settings.epochs * (len(images) // 128)
    logits.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(2e-3, steps), 1e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )

    def changed(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        moved = tf.image.random_crop(
            tf.pad(image, [[4, 4], [4, 4], [0, 0]], "REFLECT"), (32, 32, 3)
        )
        return tf.cast(tf.image.random_flip_left_right(moved), tf.float32), label

    batches = (
        tf.data.Dataset.from_tensor_slices((images, labels))
        .shuffle(len(images), settings.seed)
        .map(changed, tf.data.AUTOTUNE)
        .batch(128, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )
    logits.fit(batches, epochs=settings.epochs, verbose=2)
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    classifier.save(network, settings.out)
    _, found = classifier.load(settings.out).predict(test, batch_size=500, verbose=0)
    return float((found.argmax(1) == test_labels).mean())


if __name__ == "__main__":
    sys.exit(main())
