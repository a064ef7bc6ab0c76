"""Recipes that make a model from rows. Needs the `train` extra."""
