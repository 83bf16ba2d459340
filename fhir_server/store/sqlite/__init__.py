"""The embedded store: one SQLite file, sealed payloads, blind index, group commit."""
