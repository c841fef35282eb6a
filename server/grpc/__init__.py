"""The process that answers by gRPC, beside the HTTP workers and over the engines' same client.

gRPC does not outlive a fork. gunicorn's arbiter imports ``installed`` and ``worker`` alone, which
do not import it.
"""
