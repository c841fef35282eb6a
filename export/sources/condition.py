"""The class of a conditional generator's images: which input takes it, and in which form.

Three forms occur: a one-hot vector beside the latents, in one input; an index; and a one-hot vector
in an input of its own. The SavedModel that becomes of either takes numbers of classes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from export.config import SourceOptions
from export.errors import SourceRefused
from server.bundle.classes import MOST_CLASSES

WITHIN, INDEX, ONE_HOT = "within the latents", "an index", "a one-hot vector"
"""The forms of a class."""
CALLED = re.compile(r"label|class|cond|categor|digit|one_?hot|^[cy]$", re.IGNORECASE)
"""The names that inputs for classes have."""
BEYOND = re.compile(r"= \d+ is not in \[0, (\d+)\)")
"""What TensorFlow says of an index that an Embedding does not have."""


@dataclass(frozen=True)
class Condition:
    """How a generator takes the class of an image."""

    form: str
    count: int
    """The number of classes."""
    shape: tuple[int, ...] = ()
    """The shape of one class where it has an input of its own, such as (), (1,) or (10,)."""
    dtype: Any = None
    """TensorFlow's type of that input."""
    first: bool = False
    """Whether the class stands before the latents, in one input or as the first of two."""

    def tensor(self, classes: Any, dtype: Any) -> Any:
        """Return ``classes``, int64 [batch], as the generator takes them; vectors as ``dtype``."""
        import tensorflow as tf

        if self.form == INDEX:
            return tf.cast(tf.reshape(classes, (-1, *self.shape)), self.dtype)
        # A comparison has a form in every runtime, tf.one_hot has not.
        numbers = tf.range(self.count, dtype=tf.int64)
        one_hot = tf.cast(tf.equal(classes[:, None], numbers), self.dtype or dtype)
        return tf.reshape(one_hot, (-1, *self.shape)) if len(self.shape) > 1 else one_hot


def within(dim: int, options: SourceOptions, path: str) -> Condition | None:
    """Return how the class stands in the ``dim`` values of a generator's only input, if it does.

    Raises:
        SourceRefused: the options name another input, or leave no latents.
    """
    count = options.class_count
    if options.class_in not in ("", "start", "end") or (options.class_in and not count):
        raise SourceRefused(
            f"{path} has one input, so that --class-in is not {options.class_in!r} without more: "
            "give --classes with the number of classes, and --class-in end or start, the place of "
            "their one-hot vector beside the latents"
        )
    if not count:
        return None
    if dim <= count:
        raise SourceRefused(
            f"{path} takes {dim} values, of which a one-hot vector of {count} classes leaves no "
            "latents; see what --classes should be"
        )
    return Condition(WITHIN, count, first=options.class_in == "start")


def of_two(specs: list[Any], options: SourceOptions, path: str) -> tuple[Condition, Any]:
    """Return how the class is taken by a generator of two inputs, and the input of its latents.

    Raises:
        SourceRefused: the inputs do not tell, or take something else.
    """
    chosen = _chosen(specs, options)
    told = " and ".join(f"'{x.name}' {_sizes(x)} {x.dtype.name}" for x in specs)
    maps = [x.name for x in specs if _is_map(_sizes(x))]
    if chosen is None and len(maps) == 1:
        raise SourceRefused(
            f"{path} takes {told}, where '{maps[0]}' is a map beside the latents, as noise is: "
            "save a generator that holds it as a constant, keras.Model(z, generator([z, constant]))"
            ", so that an image's name is its seed"
        )
    if chosen is None:
        raise SourceRefused(
            f"{path} takes {told}, of which none is clearly the class: add --class-in with the "
            "name of its input"
        )
    shape = _sizes(chosen)
    if _is_map(shape):
        raise SourceRefused(
            f"{path} takes {told}, where '{chosen.name}' is a map for each image and not a class: "
            "save a generator that makes the map itself of an index or a one-hot vector, as "
            "keras.layers.Embedding and Reshape do"
        )
    form, count = (ONE_HOT, prod(shape)) if prod(shape) > 1 else (INDEX, options.class_count)
    if options.class_count not in (0, count):
        raise SourceRefused(
            f"{path} takes '{chosen.name}', a one-hot vector of {count} classes, where "
            f"{options.class_count} are named by --classes or --class-names; name {count}"
        )
    first = chosen is specs[0]
    condition = Condition(form, count, tuple(shape), chosen.dtype, first)
    return condition, specs[1] if first else specs[0]


def counted(count: int, draw: Callable[[int], object], path: str) -> int:
    """Return the number of classes of a generator that takes an index.

    It is ``count``, or else what its Embedding has; ``draw`` draws an image of the class of a
    number.

    Raises:
        SourceRefused: there is no such number, or the Embedding has fewer.
    """
    known = None
    try:
        draw(MOST_CLASSES)
    except Exception as error:  # TensorFlow's errors are of many kinds
        known = BEYOND.search(str(error))
    has = int(known[1]) if known else 0
    if has and count > has:
        raise SourceRefused(
            f"{path} has an Embedding of {has} classes, where {count} are named by --classes or "
            f"--class-names; name {has}"
        )
    if not (count or has):
        raise SourceRefused(
            f"{path} takes the index of a class, and does not tell of how many: add --classes with "
            "their number, or --class-names"
        )
    return count or has


def _chosen(specs: list[Any], options: SourceOptions) -> Any:
    """Return the input of the class: the one that is named, or that alone may be it."""
    signs: list[Callable[[Any], object]] = [
        lambda x: x.dtype.is_integer,
        lambda x: prod(size or 0 for size in _sizes(x)) == 1,
        lambda x: _sizes(x) == [options.class_count],
        lambda x: CALLED.search(x.name),
    ]
    if options.class_in:
        signs = [lambda x: x.name.partition(":")[0] == options.class_in]
    for sign in signs:
        found = [x for x in specs if sign(x)]
        if len(found) == 1:
            return found[0]
    return None


def _is_map(sizes: list[Any]) -> bool:
    return None in sizes or sum(size > 1 for size in sizes) > 1


def _sizes(spec: Any) -> list[Any]:
    """Return the shape of one element of ``spec``, without the batch."""
    return list(spec.shape[1:].as_list()) if spec.shape.rank else []
