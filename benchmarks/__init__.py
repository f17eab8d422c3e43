"""Speed and memory of the commands, measured against baselines and peers; ``README.md`` says how."""
