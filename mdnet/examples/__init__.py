"""Scripts as users write them: python -m mdnet.examples.sine, compare_thermostats, posterior, mnist; and a run file."""
