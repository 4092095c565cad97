"""Generation, metrics, prompt baselines, paired comparison, gate and report."""
