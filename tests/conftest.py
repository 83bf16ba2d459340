"""What all tests share: how Hypothesis runs on a machine that is busy with other things."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Deadlines and "too slow" measure how busy the machine is, not whether the code is right.
settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("house")
