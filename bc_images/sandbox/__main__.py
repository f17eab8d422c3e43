"""``python -m bc_images.sandbox``: the same as ``bc-images sandbox``."""

from bc_images.sandbox.command import sandbox

if __name__ == "__main__":
    sandbox(prog_name="bc-images sandbox")
