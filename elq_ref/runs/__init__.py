"""Runs on disk: folder, record, recipes, comparison; runs.report draws them."""
