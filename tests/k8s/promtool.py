"""Runs Prometheus's promtool, which knows what an expression is worth."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest


def promtool(folder: Path, *arguments: str) -> str:
    """Return what promtool says in ``folder``; that it is amiss is a failure."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is missing: `apt-get install prometheus`")
    done = subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_worth(folder: Path, expected: dict[str, float | None], series: dict[str, str]) -> None:
    """Check that after 20 minutes each expression is worth its number; None is nothing.

    ``series`` has the values of each series, a minute apart.
    """
    checks: list[dict[str, Any]] = [
        {
            "expr": f"round({expression}, 0.000001)",
            "eval_time": "20m",
            "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
        }
        for expression, value in expected.items()
    ]
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    case = {"interval": "1m", "input_series": inputs, "promql_expr_test": checks}
    (folder / "case.yaml").write_text(json.dumps({"evaluation_interval": "1m", "tests": [case]}))
    assert "SUCCESS" in promtool(folder, "test", "rules", "case.yaml")
