"""Valkey and Postgres as children of this process, and the processes of the engine beside them.

Only the commands `up`, `demo` and `bench` start servers; everything else attaches
(engine/infra/runfile.py). A server whose address is given in the settings is never started here.
"""
