"""What holds for every test: properties are tested in the same way on every machine."""

from hypothesis import HealthCheck, settings

# Machines differ by a factor of ten, so no test is refused for its time; the same examples each
# time, so a red run can be had again. Look for new ones with --hypothesis-profile=explore.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("suite"), derandomize=False)
settings.load_profile("suite")
