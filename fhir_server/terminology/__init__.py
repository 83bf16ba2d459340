"""What codes mean to each other: the expansion of value sets, and what a code subsumes."""
