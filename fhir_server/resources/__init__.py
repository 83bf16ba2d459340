"""What FHIR data is: bytes, trees, types, references, bundles, patches. No I/O."""
