"""The left wing: bytes. Autobahn's server side lives here and nowhere else."""
