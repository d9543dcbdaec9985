"""The tests of txroom."""

from hypothesis import HealthCheck, settings

# A property test must not fail because the machine is slow or busy.
settings.register_profile(
    "txroom", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("txroom")
