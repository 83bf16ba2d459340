"""``fhir-server reindex``: bring the index after the stored SearchParameters, and wait until it is."""

from fhir_server.cli.options import DataOption, KeysOption, read_settings
from fhir_server.cli.waiting import TypeOption, carry_out


def reindex(types: TypeOption = None, data: DataOption = None, keys: KeysOption = None) -> None:
    """Bring the index after the stored SearchParameters; a server may run meanwhile. Goes on when stopped."""
    from fhir_server.jobs.reindex import KIND  # noqa: PLC0415 - late: --help need not wait

    carry_out(read_settings(data=data, keys=keys), KIND, types or [])
