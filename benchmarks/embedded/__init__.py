"""What exported C costs on small processors: instructions, flash, RAM."""
