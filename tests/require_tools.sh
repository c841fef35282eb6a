#!/bin/sh
# Names the programs that the tests use and this machine lacks, and how to get them; then ends with 2.
missing=0

require() { # a program, what it is for, how to get it
    command -v "$1" >/dev/null 2>&1 && return
    echo "make test needs $1 ($2): $3" >&2
    missing=2
}

require wrk "it loads the server in the soak's test" "apt-get install wrk"
require nginx "the server is tested behind it" "apt-get install nginx"
require haproxy "the server is tested behind it" "apt-get install haproxy"
require promtool "the alerts are tried with it" "apt-get install prometheus"
require prometheus "it scrapes the server" "apt-get install prometheus"
require chromium "the page is tested in it" "apt-get install chromium"
require chromedriver "it drives Chromium" "apt-get install chromium-driver"
# npm fetches the photographs too, once.
require npm "it fetches what the page is checked with" "apt-get install nodejs npm, or see nodejs.org"
exit $missing
