"""Speed and memory of the commands, measured against floors and peers; ``README.md`` says how."""
