"""What compose.yaml says is there, and is what Kubernetes gets."""

import json
import subprocess
from pathlib import Path

import yaml

from tests.k8s.rendering import containers, only, pod_template, quantity, render

ROOT = Path(__file__).parents[1]
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


def mounted(service: str) -> dict[str, Path]:
    """Return the files of this repository that a service has, by their places in it."""
    found = {}
    for volume in SERVICES[service]["volumes"]:
        source, place, *_ = volume.split(":")
        if source.startswith("./"):
            found[place] = ROOT / source
    return found


def test_server_has_the_limits_of_a_pod():
    template = pod_template(only(render("cpu"), "Deployment"))
    (container,) = containers(template)
    server, limits = SERVICES["server"], container["resources"]["limits"]
    assert server["cpus"] == quantity(limits["cpu"])
    assert quantity(server["mem_limit"].replace("g", "Gi")) == quantity(limits["memory"])
    assert server["read_only"]
    assert server["cap_drop"] == container["securityContext"]["capabilities"]["drop"]
    assert server["stop_grace_period"] == f"{template['spec']['terminationGracePeriodSeconds']}s"
    written = [each.partition(":")[0] for each in server["tmpfs"]]
    assert written == [each["mountPath"] for each in container["volumeMounts"]]


def test_ports_are_this_machines_own():
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_every_mounted_file_is_there():
    for service in ("prometheus", "grafana"):
        assert all(path.is_file() for path in mounted(service).values())


def test_prometheus_takes_its_configuration_and_the_alerts(tmp_path: Path):
    """What its shell does before it starts, with ``promtool`` in its place."""
    files = mounted("prometheus")
    (command,) = SERVICES["prometheus"]["command"]
    making, _ = command.replace("$$", "$").split("&& exec")
    rules = tmp_path / "carfront.rules"
    for place, file in files.items():
        making = making.replace(place, str(file))
    subprocess.run(["sh", "-c", making.replace("/tmp/carfront.rules", str(rules))], check=True)
    wanted = yaml.safe_load(files["/carfront/prometheusrule.yaml"].read_text())["spec"]
    assert yaml.safe_load(rules.read_text()) == wanted
    config = tmp_path / "prometheus.yaml"
    text = files["/carfront/prometheus.yaml"].read_text()
    config.write_text(text.replace("/tmp/carfront.rules", str(rules)))
    subprocess.run(["promtool", "check", "config", str(config)], check=True)


def test_grafana_finds_prometheus_and_the_dashboard():
    files = mounted("grafana")
    source = yaml.safe_load(
        files["/etc/grafana/provisioning/datasources/carfront.yaml"].read_text()
    )
    (prometheus,) = source["datasources"]
    assert prometheus["url"] == "http://prometheus:9090"
    provider = yaml.safe_load(
        files["/etc/grafana/provisioning/dashboards/carfront.yaml"].read_text()
    )
    folder = provider["providers"][0]["options"]["path"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).parent == Path(folder)
    assert json.loads(files[home].read_text())["title"] == "Carfront"
