"""Search: parameters, predicates, visibility, extraction, meaning, pages. No I/O."""
