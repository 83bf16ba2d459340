"""Run the command line: ``python -m fhir_server.cli``."""

from fhir_server.cli import main

main()
