"""What we are compared with: baselines that do nothing but the work, and the programs that others would use."""
