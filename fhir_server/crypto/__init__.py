"""Sealed payloads, the blind index, keys and cipher suites."""
