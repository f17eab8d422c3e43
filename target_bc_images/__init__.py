"""The Singer target: plan what differs, apply it exactly once, prove it."""
