"""The store for those who outgrow one machine: MongoDB, a replica set or a sharded cluster."""
