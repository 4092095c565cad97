"""Human ratings: blind pairs, rubrics, agreement."""
