"""The signature of a SavedModel that draws: latents, and a class if it takes one, to images."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from export.config import SourceOptions
from export.errors import SourceRefused
from export.sources.condition import INDEX, WITHIN, Condition, counted, of_two, within

NAMES = ("serving_default", "serve", "call")
"""The signatures and functions that may draw, best first."""


@dataclass(frozen=True)
class Signature:
    """A function of a SavedModel from latents, and classes, to images."""

    path: str
    name: str
    draw: Callable[..., Any]
    """The function from a tensor [batch, *shape], and one of classes, to one of images."""
    shape: tuple[int, ...]
    """The shape of one latent, such as (100,) or (1, 1, 100)."""
    dtype: Any
    """TensorFlow's type of the latents, float32 or float64."""
    loaded: Any
    """The SavedModel, whose variables die with it."""
    condition: Condition | None = None
    """How it takes a class, if it does."""

    @property
    def latent_dim(self) -> int:
        """Return the number of values in a latent, without a class that stands beside it."""
        beside = self.condition.count if self.condition and self.condition.form == WITHIN else 0
        return prod(self.shape) - beside

    def images(self, latents: Any, classes: Any = None) -> Any:
        """Return the images of ``latents`` float32 [batch, latent_dim] and ``classes`` int64."""
        import tensorflow as tf

        condition = self.condition
        of_class = condition.tensor(classes, latents.dtype) if condition else None
        if condition and condition.form == WITHIN:
            latents = tf.concat(_in_order(condition, latents, of_class), axis=1)
        if len(self.shape) > 1:
            latents = tf.reshape(latents, (-1, *self.shape))
        latents = tf.cast(latents, self.dtype)
        if condition is None or condition.form == WITHIN:
            return self.draw(latents)
        return self.draw(*_in_order(condition, latents, of_class))


def _in_order(condition: Condition, latents: Any, of_class: Any) -> list[Any]:
    return [of_class, latents] if condition.first else [latents, of_class]


def signature_of(loaded: Any, path: str, options: SourceOptions) -> Signature:
    """Return the signature of the SavedModel ``loaded`` that draws; ``path`` is told in errors.

    Raises:
        SourceRefused: it has none, or it takes or gives something else.
    """
    name, inputs, outputs, draw = _chosen(loaded, path)
    told = ", ".join(f"'{spec.name}' {_size(spec)} {spec.dtype.name}" for spec in inputs)
    if not inputs:
        raise SourceRefused(f"{path} takes no latents: {name} has no input")
    _check_number(inputs, outputs, path, told)
    for spec in inputs:
        _check_batch(spec, path, told)
    condition = None
    if len(inputs) == 2:
        condition, spec = of_two(inputs, options, path)
    _check_types(spec, outputs, path, told)
    _check_no_images(spec, outputs[0], path)
    shape = spec.shape[1:].as_list()
    if spec.shape.rank < 2 or None in shape:
        raise SourceRefused(_size_not_stated(path, told))
    if condition is None:
        condition = within(prod(shape), options, path)
    signature = Signature(path, name, draw, tuple(shape), spec.dtype, loaded, condition)
    return replace(signature, condition=_counted(signature, options))


def _check_number(inputs: list[Any], outputs: list[Any], path: str, told: str) -> None:
    if len(inputs) > 2:
        raise SourceRefused(
            f"{path} has {len(inputs)} inputs, {told}; save one that takes latents, and a class at "
            "most, as keras.Model([z, label], image) does"
        )
    if len(outputs) != 1:
        found = ", ".join(f"{_size(spec)} {spec.dtype.name}" for spec in outputs)
        raise SourceRefused(
            f"{path} has {len(outputs)} outputs, {found}; save one that gives images alone, as "
            "keras.Model(generator.input, generator.output[0]) does"
        )


def _check_types(latents: Any, outputs: list[Any], path: str, told: str) -> None:
    if latents.dtype.is_integer:
        raise SourceRefused(
            f"{path} takes {told}, and no latents; save the generator with an input of latents "
            "before it, as keras.Input((100,))"
        )
    for tensor in (latents, *outputs):
        if tensor.dtype.name not in ("float32", "float64"):
            raise SourceRefused(
                f"{path} takes or gives {tensor.dtype.name}; save the generator in float32"
            )


def _check_no_images(latents: Any, images: Any, path: str) -> None:
    """Check that the input has not the size of the images: then it takes images."""
    if latents.shape.rank != 4 or images.shape.rank != 4:
        return
    sizes = latents.shape[1:3].as_list()
    if None not in sizes and prod(sizes) > 1 and sizes == images.shape[1:3].as_list():
        raise SourceRefused(
            f"{path} makes images {_size(images)} of images {_size(latents)}, as pix2pix and "
            "CycleGAN do; a seed gives latents, so save a generator that takes some, such as [100]"
        )


def _counted(signature: Signature, options: SourceOptions) -> Condition | None:
    """Return the condition of ``signature`` with the number of its classes."""
    import tensorflow as tf

    condition = signature.condition
    if condition is None or condition.form != INDEX:
        return condition

    def draw(number: int) -> Any:
        zeros = tf.zeros((1, signature.latent_dim))
        return signature.images(zeros, tf.constant([number], tf.int64))

    return replace(condition, count=counted(options.class_count, draw, signature.path))


def _check_batch(spec: Any, path: str, told: str) -> None:
    if spec.shape.rank in (None, 0):
        raise SourceRefused(_size_not_stated(path, told))
    if spec.shape[0] is not None:
        raise SourceRefused(
            f"{path} draws {spec.shape[0]} images at a time and no other number (its input is "
            f"{spec.shape.as_list()}); save it with an open batch, {[None, *spec.shape[1:]]}"
        )


def _size_not_stated(path: str, told: str) -> str:
    return (
        f"{path} takes {told}, whose size is not stated; save it with an input of a known "
        "size, as keras.Input((100,))"
    )


def _chosen(loaded: Any, path: str) -> tuple[str, list[Any], list[Any], Callable[[Any], Any]]:
    """Return name, inputs, outputs and function of the signature that draws."""
    import tensorflow as tf

    signatures = getattr(loaded, "signatures", {})
    sole = [*signatures] if len(signatures) == 1 else []
    for name in (*NAMES, *sole):
        if name in signatures:
            function = signatures[name]
            inputs = dict(sorted(function.structured_input_signature[1].items()))

            def draw(*tensors: Any, function: Any = function, inputs: Any = inputs) -> Any:
                named = dict(zip(inputs, tensors, strict=True))
                return tf.nest.flatten(function(**named))[0]

            return name, [*inputs.values()], tf.nest.flatten(function.structured_outputs), draw
    for name in (*NAMES, "__call__"):
        function = getattr(loaded, name, None)
        for concrete in getattr(function, "concrete_functions", ()):
            taken = concrete.structured_input_signature

            def call(*tensors: Any, function: Any = function, taken: Any = taken) -> Any:
                waiting = iter(tensors)
                flat = [next(waiting) if _is_tensor(x) else x for x in tf.nest.flatten(taken)]
                arguments, named = tf.nest.pack_sequence_as(taken, flat)
                return tf.nest.flatten(function(*arguments, **named))[0]

            return name, _tensors(taken), _tensors(concrete.structured_outputs), call
    has = f"only {', '.join(signatures)}" if signatures else "none"
    raise SourceRefused(
        f"{path} needs a signature called {NAMES[0]}, and has {has}; save the generator with "
        "model.export('saved_model')"
    )


def _tensors(structure: Any) -> list[Any]:
    import tensorflow as tf

    flat: Iterable[Any] = tf.nest.flatten(structure)
    return [x for x in flat if _is_tensor(x)]


def _is_tensor(part: Any) -> bool:
    import tensorflow as tf

    return isinstance(part, tf.TensorSpec)


def _size(spec: Any) -> str:
    """Return the shape of one element of ``spec``, without the batch."""
    return str(spec.shape[1:].as_list()) if spec.shape.rank else "[]"
