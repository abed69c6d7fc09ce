"""Ways to make weights from a source, one file each."""
