"""Does a resource keep the rules of R4? Structure, bindings, references, invariants, narrative."""
