"""The engine: reads a map file, compiles it to both directions, and says what it could not carry over."""
