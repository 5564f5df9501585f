"""The process of a server: settings, role, supervisor, and the rooms below put together.

`Settings` are read from the environment. A `Role` (serve, gateway, worker) decides which parts a
process has. A `Host` opens the store and builds engine, gateway and API on it; its `Crew` are the
loops that run without a request (scheduler, deployer, pruner, probation, bulks). The `Supervisor` is
the parent process, which starts the server again when it dies.

Only what every command reads is re-exported here. A `Host` loads the whole engine, so it is imported
from `halflap.server.host` where it is needed, as is `supervise` from `halflap.server.supervisor`.
"""

from halflap.server.role import COMMAND, GATEWAY, SERVE, WORKER, Role
from halflap.server.settings import PREFIX, Remote, Settings

__all__ = ["COMMAND", "GATEWAY", "PREFIX", "SERVE", "WORKER", "Remote", "Role", "Settings"]
