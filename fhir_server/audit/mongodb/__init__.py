"""The audit log in a MongoDB database: no state is left in the processes that share it."""
