"""``fhir-server relabel``: give stored resources the labels that the rules ask for now, and wait."""

from fhir_server.cli.options import DataOption, KeysOption, read_settings
from fhir_server.cli.waiting import TypeOption, carry_out


def relabel(types: TypeOption = None, data: DataOption = None, keys: KeysOption = None) -> None:
    """Give stored resources the labels that the rules ask for now; a server may run meanwhile."""
    from fhir_server.jobs.relabel import KIND  # noqa: PLC0415 - late: --help need not wait

    carry_out(read_settings(data=data, keys=keys), KIND, types or [])
