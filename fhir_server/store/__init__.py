"""Where resources are kept: one protocol, and the engines behind it."""
