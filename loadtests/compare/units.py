"""The columns of a comparison and their units, in the order in which they are measured."""

UNITS = {
    "start": "s until ready",
    "first image": "s until the first right image",
    "1 connection": "p50, ms",
    "32 connections": "images/s",
    "128 connections": "images/s",
    "64 images a request": "images/s",
    "CPU of singles": "us an image",
    "CPU of 64 a request": "us an image",
    "memory": "MB, PSS",
    "1 binary row": "requests/s",
    "64 binary rows": "requests/s",
    "CPU of 1 binary row": "us an image",
    "CPU of 64 binary rows": "us an image",
    "beside bulk": "p99 of single images, ms",
    "slow readers": "p99 of single images, ms",
    "killed": "s until right answers",
    "overload": "share of the peak",
}
"""The columns and their units, as tables have them."""
MORE_IS_BETTER = ("images/s", "requests/s", "share of the peak")
"""The units of which a larger value is the better one."""
