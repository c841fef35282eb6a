"""The commands: each module has some of them, and ``carfront.command_line`` has them all."""
