"""``python -m bigcommerce_sandbox``: the same as ``bc-images sandbox``."""

from bigcommerce_sandbox.command import sandbox

if __name__ == "__main__":
    sandbox(prog_name="bc-images sandbox")
