"""The command ``carfront``: how it begins and ends."""

import signal
import sys

from carfront.stops import STOPPED, Terminated, ending_at_once, leave, raise_terminated


def main() -> None:
    """Run the command line and exit."""
    with ending_at_once():
        from carfront.command_line import run
    try:
        signal.signal(signal.SIGTERM, raise_terminated)
        status = run(sys.argv[1:])
    except KeyboardInterrupt as error:
        print(str(error) or STOPPED, file=sys.stderr)
        leave(143 if isinstance(error, Terminated) else 130)
    if status:
        leave(status)


if __name__ == "__main__":
    main()
