"""Writes the dashboard into the component that brings it to Grafana."""

from pathlib import Path

from k8s.dashboard.build import text

JSON = Path(__file__).parents[1] / "components/monitoring/carfront.json"

JSON.write_text(text())
