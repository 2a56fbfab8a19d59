"""Where relative errors of calories stop being relative."""

FLOOR = 10.0
"""No relative error is taken of fewer kcal. Water and black coffee lie below, a dish does not."""
