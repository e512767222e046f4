"""Go on 1 to 19 lines: exact superko, area scoring."""
