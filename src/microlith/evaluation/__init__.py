"""How good a model is: scores, calibration, paired comparison, gates, and the pages and tables that show them."""
