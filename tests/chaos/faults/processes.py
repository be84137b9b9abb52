"""What happens to one process."""

from __future__ import annotations

from tests.chaos.commands import command
from tests.chaos.plan import Step
from tests.chaos.world import World

__all__ = ["freeze", "kill", "shift_clock", "stop"]


def kill(world: World, step: Step) -> None:
    """SIGKILL, and a new process after a while."""
    member = world.fleet[step.target]
    if member.is_running:
        with world.losing(str(step), member.process.pid):
            member.kill()
    world.hold(step.seconds)
    member.start()


def freeze(world: World, step: Step) -> None:
    """SIGSTOP past its session, and SIGCONT."""
    member = world.fleet[step.target]
    if member.is_running:
        process = member.process
        with world.losing(str(step), process.pid):
            process.pause()
            try:
                world.hold(step.seconds)
            finally:
                process.resume()


def stop(world: World, step: Step) -> None:
    """SIGTERM, and a new process after a while: nothing is lost by that."""
    member = world.fleet[step.target]
    member.stop()
    world.hold(step.seconds)
    member.start()


def shift_clock(world: World, step: Step) -> None:
    """Its wall clock is wrong for a while; the base of the library measures time by it."""
    member = world.fleet[step.target]
    if member.is_running:
        with world.losing(str(step), member.process.pid):
            command(world.folder, step.target, "clock", step.details["shift"])
            world.hold(step.seconds)
            command(world.folder, step.target, "clock", 0)
