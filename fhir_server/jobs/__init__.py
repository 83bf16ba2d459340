"""Durable background work: written down in the store, carried out by one process at a time."""
