"""A run on disk: Run, its folder, what it measures and leaves; recipes and comparison. runs.report draws them."""
