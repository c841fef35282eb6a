"""The manifests, and the code of the dashboard that they bring to Grafana."""
