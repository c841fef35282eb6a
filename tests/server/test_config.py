"""A bad setting stops the boot and names the variable, the value and what was wanted."""

from pathlib import Path

import pytest

from server.config import ServerConfig
from server.config_error import ConfigError


def test_empty_environment_gives_the_defaults():
    assert ServerConfig.from_env({}) == ServerConfig()


def test_every_setting_is_read_from_its_variable():
    config = ServerConfig.from_env(
        {"CARFRONT_PORT": "9000", "CARFRONT_MODELS": "/srv/models", "CARFRONT_PROVIDER": "cpu"}
    )
    assert (config.port, config.models, config.provider) == (9000, Path("/srv/models"), "cpu")


def test_empty_variable_means_the_default():
    assert ServerConfig.from_env({"CARFRONT_PORT": ""}).port == 8000


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("CARFRONT_PORT", "http", "a whole number"),
        ("CARFRONT_PORT", "70000", "1 to 65535"),
        ("CARFRONT_PROVIDER", "tpu", "one of auto, openvino, cpu, cuda"),
        ("CARFRONT_PRECISION", "int4", "one of auto, bf16, f16, int8, f32, exact"),
        ("CARFRONT_MAX_BATCH_SIZE", "-1", "0 to 4096"),
        ("CARFRONT_MAX_QUEUE_ROWS", "10", "4096 to"),
        ("CARFRONT_LOG_LEVEL", "loud", "one of debug"),
        ("CARFRONT_MODEL", "../cars", "a model's name"),
        ("CARFRONT_VERSION", "newest", "latest, or a number"),
        ("CARFRONT_SERVE", "../cars", "all, or name or name/version"),
        ("CARFRONT_SERVE", "cars/new", "name/version with a number"),
        ("CARFRONT_POLL_S", "-1", "0 to 86400"),
        ("CARFRONT_METRICS_PORT", "65536", "0 to 65535"),
        ("CARFRONT_METRICS_PORT", "8000", "another port than CARFRONT_PORT"),
    ],
)
def test_bad_value_names_variable_value_and_wish(variable, value, wanted):
    with pytest.raises(ConfigError) as error:
        ServerConfig.from_env({variable: value})
    assert f"{variable} is '{value}'" in str(error.value).replace(f"is {value};", f"is '{value}';")
    assert wanted in str(error.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CARFRONT_ADMIN_TOKENS", "s3cret"),
        ("CARFRONT_WORKER", "s3cret"),
        ("CARFRONT_ADMIN_TOKEN", "s3cret\n"),
        ("CARFRONT_ADMIN_TOKEN", " s3cret"),
        ("CARFRONT_ADMIN_TOKEN", "s3cret\r\nX-Header: 1"),
        ("CARFRONT_ADMIN_TOKEN", b"s3cret\xff".decode("utf-8", "surrogateescape")),
    ],
)
def test_secret_is_shown_nowhere_though_it_is_misspelt_or_malformed(variable, value):
    with pytest.raises(ConfigError) as error:
        ServerConfig.from_env({variable: value})
    assert str(error.value).startswith(f"{variable} is ")
    assert "; wanted " in str(error.value)
    assert "s3cret" not in str(error.value)


def test_token_may_have_any_letters():
    for token in ("s3cret", "pass wort", "schlüssel"):
        config = ServerConfig.from_env({"CARFRONT_ADMIN_TOKEN": token})
        assert config.admin_token == token
        assert token not in repr(config)


def test_metrics_have_any_port_beside_a_unix_socket():
    both = {"CARFRONT_HOST": "unix:/run/cars.sock", "CARFRONT_METRICS_PORT": "8000"}
    assert ServerConfig.from_env(both).metrics_port == 8000


@pytest.mark.parametrize("other", ["CARFRONT_PORT", "CARFRONT_METRICS_PORT"])
def test_port_of_grpc_is_no_other_ones(other):
    assert ServerConfig.from_env({"CARFRONT_GRPC_PORT": ""}).grpc_port == 0
    with pytest.raises(ConfigError) as error:
        ServerConfig.from_env({other: "9000", "CARFRONT_GRPC_PORT": "9000"})
    wanted = "another port than CARFRONT_PORT and CARFRONT_METRICS_PORT"
    assert str(error.value) == f"CARFRONT_GRPC_PORT is 9000; wanted {wanted}"
    beside = {"CARFRONT_HOST": "unix:/run/cars.sock", "CARFRONT_GRPC_PORT": "8000"}
    assert ServerConfig.from_env(beside).grpc_port == 8000


def test_file_of_keys_is_a_path(tmp_path):
    assert ServerConfig().api_keys_file is None
    config = ServerConfig.from_env({"CARFRONT_API_KEYS_FILE": "/etc/keys"})
    assert config.api_keys_file == Path("/etc/keys")


def test_other_programs_variables_are_left_alone():
    others = {"PATH": "/bin", "PORT": "1", "CARFRONT_CACHE": "/var/cache"}  # training's
    assert ServerConfig.from_env(others) == ServerConfig()


def test_threads_are_shared_out_over_the_streams():
    config = ServerConfig(threads=8, streams=2)
    assert (config.inference_streams, config.threads_a_stream) == (2, 4)
    assert ServerConfig(threads=1).threads_a_stream == 1
    assert ServerConfig(threads=1, streams=3).threads_a_stream == 1


def test_engines_share_the_processors(monkeypatch):
    monkeypatch.setattr("server.config.available_cpus", lambda: 16)
    half = ServerConfig(engines=2)
    assert (half.inference_threads, half.inference_streams, half.threads_a_stream) == (8, 4, 2)
    assert ServerConfig(engines=20).inference_threads == 1
    assert ServerConfig(engines=2, threads=6).inference_threads == 6


def test_engine_may_be_silent_for_as_long_as_its_provider_compiles():
    assert ServerConfig(batch_timeout_ms=5000).silence_s == 7
    assert ServerConfig(provider="cuda").silence_s == 12
    assert ServerConfig(provider="tensorrt").silence_s >= 900
    assert ServerConfig(provider="tensorrt-rtx").silence_s >= 900


def test_every_engine_has_a_place_of_its_own(tmp_path):
    engine_dirs = ServerConfig(engines=3, runtime_dir=tmp_path).engine_dirs
    assert [engine_dir.folder.name for engine_dir in engine_dirs] == [
        "engine-0",
        "engine-1",
        "engine-2",
    ]
    assert len(ServerConfig(runtime_dir=tmp_path).engine_dirs) == 1


def test_socket_without_a_runtime_directory_is_an_error():
    with pytest.raises(ConfigError, match="CARFRONT_RUNTIME_DIR"):
        _ = ServerConfig().engine_dirs
