"""Builds the one artifact that every function of the template runs."""
