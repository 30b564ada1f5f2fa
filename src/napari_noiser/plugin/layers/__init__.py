"""Layers in and out."""
