"""The load of ``loadtests/locustfile.py``: who asks, how many, and what is good enough."""
