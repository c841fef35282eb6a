"""Holds custom resources against the types and patterns of their definitions, with TypeScript.

Their definitions are no part of Kubernetes, and no package has them as JSON schemas. The npm
packages of kubernetes-models, made from the operators' own Go code, have a type for each, which
knows every field, and a function that knows patterns, lengths and enumerations.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGES = {
    "gateway.networking.k8s.io": "gateway-api",
    "keda.sh": "keda",
    "monitoring.coreos.com": "prometheus-operator",
}
"""The packages, by the group of the resources that they know."""
OPTIONS = ("--strict", "--module", "nodenext", "--target", "es2022", "--skipLibCheck")
RUN_ALL = """
const found = {};
for (const name of process.argv.slice(1)) {
  await import(`${process.cwd()}/${name}.mjs`).catch((error) => { found[name] = error.message; });
}
console.log(JSON.stringify(found));
"""
"""Runs programs by their names, and prints with what error each of them ended."""


def install_packages() -> None:
    """Install the npm packages of the lock file beside this module, if they are not there."""
    if not (HERE / "node_modules" / ".package-lock.json").exists():
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=HERE, check=True, capture_output=True)


def faults(resources: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return what is wrong with each of ``resources`` that is not as it is defined, by its name.

    ``folder`` is for the program that looks. The names are names of files.
    """
    install_packages()
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    for name, resource in resources.items():
        (folder / f"{name}.mts").write_text(_program(resource))
    programs = sorted(path.name for path in folder.glob("*.mts"))
    command = ["node_modules/.bin/tsc", *OPTIONS, *programs]
    types = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found: dict[str, str] = {}
    for line in types.stdout.splitlines():
        name, is_fault, told = line.partition(".mts(")
        if is_fault:
            found[name] = found.get(name, "") + told
    assert found or types.returncode == 0, types.stdout + types.stderr
    command = ["node", "--input-type=module", "--eval", RUN_ALL, *(resources.keys() - found.keys())]
    values = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert values.returncode == 0, values.stderr
    return found | json.loads(values.stdout)


def _program(resource: Mapping[str, Any]) -> str:
    """Return a program that ends with an error where ``resource`` is not as it is defined."""
    version, kind = resource["apiVersion"], resource["kind"]
    package = PACKAGES[version.partition("/")[0]]
    fields = {name: resource[name] for name in resource.keys() - {"apiVersion", "kind"}}
    return (
        f'import {{ {kind} }} from "@kubernetes-models/{package}/{version}";\n'
        f"new {kind}({json.dumps(fields)}).validate();\n"
    )
