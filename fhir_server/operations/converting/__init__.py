"""$convert, by its steps: what is asked, reading, storing, keeping what failed, writing, telling."""
