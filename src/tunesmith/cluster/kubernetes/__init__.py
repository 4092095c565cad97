"""Recipes on Kubernetes, by way of KubeRay."""
