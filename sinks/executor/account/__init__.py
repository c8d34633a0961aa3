"""What an account has and may do: positions, money, rules; docs/accounting.md."""
