"""Backups of a data folder: what they hold, how they are made, how they are put back."""
