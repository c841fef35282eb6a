"""The training run: epochs over the photographs, and at the end a SavedModel with its lineage."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from training.batches import Batches, distributed
from training.callbacks import AfterEachEpoch, EachEpoch, sample_latents
from training.checkpoints import Checkpoints, writing
from training.choice import chosen, reached
from training.cluster import ALONE, Cluster
from training.config import MEASURES, TrainConfig
from training.data import Images, digest, layout_of
from training.ema import estimate_batch_statistics
from training.exchange import Exchange, all_workers_needed
from training.gan import DCGAN
from training.hardware import choose_policy, choose_strategy
from training.history import History
from training.interrupt import Interrupt, Stopped
from training.lineage import note_code, trained_with, write_json
from training.models import LATENT_DIM, build_generator
from training.run_directory import check_epochs, claim
from training.samples import draw, grid, save_film


def train(
    config: TrainConfig, images: Images, progress: bool = False, cluster: Cluster = ALONE
) -> Path:
    """Train until ``config.epochs`` are done and return the SavedModel's directory.

    The training goes on from the newest checkpoint in ``config.out``. ``images`` is uint8
    [N, size, size, 3]; ``progress`` shows a bar that moves with every batch, and without it a line
    tells now and then. Ctrl-C lets the epoch finish. Of a ``cluster`` only the chief reads and
    writes ``config.out``, and the others wait for its end.

    Raises:
        ClusterError: the workers were started with different settings or photographs.
        Diverged: a loss or a weight is no longer finite.
        NotKept: the run has no weights of the epoch that was chosen for the export.
        RunMismatch: ``config.out`` holds a run with other settings, or with more epochs.
        Stopped: Ctrl-C came to any worker, and the epoch in which it came is done and saved.
        WorkerLost: another worker is gone.
    """
    policy = choose_policy(config.precision)
    facts = config.recipe() | {"policy": policy, "data_sha256": digest(images)}
    if config.strategy == "multi-worker":
        facts |= {"workers": cluster.workers}
    if cluster.is_chief:
        claim(config.out, facts)
    keras.utils.set_random_seed(config.seed)
    with all_workers_needed(cluster):
        strategy = choose_strategy(config.strategy)
        exchange = Exchange(strategy, cluster)
        exchange.agree(facts | {"epochs": config.epochs})
        with strategy.scope():
            gan = DCGAN(config, policy)
            checkpoints = Checkpoints(config.out / "checkpoints", gan)
        _restore(config, checkpoints, exchange)
        if checkpoints.epochs_done < config.epochs:
            _fit(gan, config, images, checkpoints, exchange, progress)
        saved_model = config.out / "saved_model"
        done = checkpoints.epochs_done
        if cluster.is_chief:
            save_film(
                sorted((config.out / "samples").glob("epoch-*.png")), config.out / "film.webp"
            )
            if done == config.epochs:
                _finish(gan, config, policy, images, saved_model)
        exchange.wait()
    if done < config.epochs:
        raise Stopped(f"stopped after epoch {done} of {config.epochs}")
    return saved_model


def _restore(config: TrainConfig, checkpoints: Checkpoints, exchange: Exchange) -> None:
    """Give all workers what the chief's newest checkpoint holds."""
    if exchange.cluster.is_chief:
        done = checkpoints.restore()
        check_epochs(config.out, config.epochs, reached(config, done))
    exchange.share(checkpoints.variables())
    if checkpoints.epochs_done:
        done = checkpoints.epochs_done
        print(f"{config.out}: {done} epochs are done, going on from there", flush=True)


def _fit(
    gan: DCGAN,
    config: TrainConfig,
    images: Images,
    checkpoints: Checkpoints,
    exchange: Exchange,
    progress: bool,
) -> None:
    """Train all epochs that are not done."""
    done = checkpoints.epochs_done
    batches = Batches(images, config.batch_size, config.seed, done)
    many = config.strategy == "multi-worker"
    with Interrupt() as interrupt:
        if exchange.cluster.is_chief:
            (config.out / "samples").mkdir(exist_ok=True)
            note_code(config.out, done)
            after = AfterEachEpoch(
                config, images, checkpoints, interrupt, exchange, within=not progress
            )
        else:
            after = EachEpoch(config, checkpoints, interrupt, exchange)
        gan.fit(
            distributed(batches, exchange.strategy) if many else batches,
            steps_per_epoch=len(batches) if many else None,
            epochs=config.epochs,
            initial_epoch=done,
            shuffle=False,
            verbose=1 if progress else 0,
            callbacks=[after],
        )


def _finish(
    gan: DCGAN, config: TrainConfig, policy: str, images: Images, saved_model: Path
) -> None:
    """Write the SavedModel of the chosen epoch, and the facts beside it."""
    epoch, weights = chosen(config, gan.ema_generator.get_weights())
    run_json = config.out / "run.json"
    run_json.unlink(missing_ok=True)  # a kill must not leave it beside another SavedModel
    export_generator(weights, saved_model, config)
    write_json(run_json, run_facts(config, policy, images, gan, epoch))


def export_generator(weights: list[Any], path: Path, config: TrainConfig) -> Path:
    """Write the generator of these ``weights``, in float32, with measured batch statistics.

    The SavedModel's signature ``serving_default`` takes ``latents`` float32 [N, 100] and returns
    ``images`` float32 [N, size, size, 3] in [-1, 1].
    """
    generator = build_generator(size=config.size)
    generator.set_weights(weights)
    estimate_batch_statistics(generator, config.statistics_passes)
    archive = keras.export.ExportArchive()
    archive.track(generator)
    archive.add_endpoint(
        "serving_default",
        lambda latents: {"images": generator(latents, training=False)},
        input_signature=[tf.TensorSpec((None, LATENT_DIM), tf.float32, name="latents")],
    )
    with writing("the SavedModel"):
        archive.write_out(str(path), verbose=False)
    sheet = grid(draw(generator, sample_latents()), columns=10)
    sheet.save(config.out / "samples" / "final.png")
    return path


def run_facts(
    config: TrainConfig, policy: str, images: Images, gan: DCGAN, exported: int
) -> dict[str, Any]:
    """Return the contents of ``run.json``: enough to train this model again and to judge it.

    The weights of the epoch ``exported`` are those of the SavedModel.
    """
    history = History(config.out / "history.csv", config.epochs)
    row = next(row for row in history.rows if int(row["epoch"]) == exported)
    metrics = {name: float(row[name]) for name in (*gan.trackers, *MEASURES) if row.get(name)}
    code = trained_with(config.out, exported)
    data = {"name": config.data, "images": len(images), "sha256": digest(images)}
    layout = layout_of(images)
    return {
        "schema_version": 1,
        "recipe": config.recipe() | {"policy": policy},
        "data": data | ({"layout": layout} if layout else {}),
        "epochs": config.epochs,
        "exported_epoch": exported,
        "chosen_by": config.choose_by,
        "steps": int(gan.step.numpy()),
        "metrics": metrics,
        "latent_dim": LATENT_DIM,
        "latent_distribution": "normal",
        "image_shape": [config.size, config.size, 3],
        "image_range": [-1.0, 1.0],
        "git_commit": code[-1]["git_commit"],
        "versions": code[-1]["versions"],
        "trained_with": code,
    }
