"""The command ``bc-images`` and how every command ends; one module a command."""
