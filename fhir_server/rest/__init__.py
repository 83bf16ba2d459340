"""HTTP words: routes, negotiation, responses."""
