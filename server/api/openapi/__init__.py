"""The HTTP interface as OpenAPI 3.1 describes it: generated from the routes, tables and errors.

Source: OpenAPI Specification 3.1.1, and JSON Schema 2020-12.
"""
