"""The honest measurement: the server beside a peer and a bare-HTTP ceiling, in one run, on one machine."""
