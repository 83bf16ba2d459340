"""Relational extracts of hospital systems, 军卫一号 (junwei) and hsa-his (hsa), to FHIR R4 and back."""
