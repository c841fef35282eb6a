#!/usr/bin/env bash
# numpy 2.4.6: percentiles by the method inverted_cdf are one rank too far where the rank is whole.
#
# Expected: inverted_cdf gives the smallest number that so many percent do not exceed; p99.9 of the
# numbers 1 to 1,000 is 999, and p7 of 1 to 100 is 7.
# Happens: they are 1,000 and 8, without a warning. 99.9 / 100 is rounded up in float64, the rank of
# 999 becomes 999.0000000000001, and the next one is taken. p50, p90, p95 and p99 of as many numbers
# are right.
# Seen: 2026-11-30, on Linux with an x86-64 processor, with Python 3.11.
#
# The control is the same rank computed with fractions.
#
# Ends with 0 when it is so, with 1 when that has changed, with 2 when it could not be tried.
set -euo pipefail

PYTHON=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$PYTHON" -m venv "$work/venv" &&
    "$work/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 || exit 2

"$work/venv/bin/python" - <<'PYTHON'
import sys
from fractions import Fraction
from math import ceil

import numpy as np

off = {}
for percent, count in (("99.9", 1000), ("7", 100), ("50", 1000), ("95", 1000), ("99", 1000)):
    found = np.percentile(np.arange(1, count + 1), float(percent), method="inverted_cdf")
    wanted = ceil(Fraction(percent) * count / 100)
    print(f"p{percent} of 1 to {count}: {found:g}, wanted {wanted}")
    off[percent] = int(found) - wanted
sys.exit(off != {"99.9": 1, "7": 1, "50": 0, "95": 0, "99": 0})
PYTHON
