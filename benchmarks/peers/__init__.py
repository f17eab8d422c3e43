"""What we are compared with: floors that do nothing but the work, and the programs that others would use."""
