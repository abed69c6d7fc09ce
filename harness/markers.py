"""The marks by which pluggy knows a hook, and a plugin's part in one."""

import pluggy

hookspec = pluggy.HookspecMarker("harness")
hookimpl = pluggy.HookimplMarker("harness")
