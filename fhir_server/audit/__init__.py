"""The audit: who accessed what, and what for; durable before the answer leaves, and tamper-evident."""
