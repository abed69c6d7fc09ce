"""Tricks, one file each: what amends the training of any gradient strategy."""
