"""Predicts what replicas do under a load, and what Kubernetes' autoscalers make of it."""
