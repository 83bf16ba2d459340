"""Loading files through the one door: sources, pieces, entries, journal, report."""
