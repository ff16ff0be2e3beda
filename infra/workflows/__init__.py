"""The state machines in Amazon States Language, as plain data: pure functions of settings and names."""
