"""Ctrl-C within long calls, and coroutines beside waits."""

import asyncio
import subprocess
import sys
import textwrap
import time

import pytest

HEAD = """
import os, signal, sys, threading, time, stepwell
ws = stepwell.open(sys.argv[1])

def interrupted(call, after=0.2):
    # From another process, so that nothing here helps.
    pid = os.getpid()
    if os.fork() == 0:
        time.sleep(after)
        os.kill(pid, signal.SIGINT)
        os._exit(0)
    began = time.monotonic()
    try:
        call()
    except KeyboardInterrupt:
        return time.monotonic() - began - after
    raise SystemExit("not interrupted")
"""


@pytest.fixture
def long(folder):
    def run(text):
        done = subprocess.run(
            [sys.executable, "-c", HEAD + textwrap.dedent(text), folder], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_a_wait_for_news(long):
    long("assert interrupted(lambda: next(ws.follow())) < 1")


def test_long_reads(long):
    long(
        """
        import numpy
        with ws.run() as run:
            for at in range(10):
                steps = numpy.arange(at * 10**6, (at + 1) * 10**6)
                run.columns("x", steps, numpy.random.default_rng(at).random(10**6))
        series = ws[run.id]["x"]
        for call in (lambda: series.steps, lambda: ws[run.id]["x"].between(1, 10**7), lambda: ws.verify()):
            def again():
                while True:
                    call()
            try:
                assert interrupted(again) < 1
            finally:
                series = ws[run.id]["x"]
        # What was interrupted left nothing behind.
        assert len(ws[run.id]["x"].values) == 10**7 and ws.verify() == []
        """
    )


def test_follow_in_a_coroutine(ws):
    async def main():
        run = ws.run(strict=True)
        changes = ws.follow(runs=[run.id], keys=["loss"], timeout=30)
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        async def train():
            for step in range(20):
                run.log({"loss": step}, step=step)
                await asyncio.sleep(0.01)

        ticking, training = asyncio.create_task(tick()), asyncio.create_task(train())
        steps = []
        async for change in changes:
            for points in change["points"]:
                steps += list(points["steps"])
            if len(steps) == 20:
                break
        await training
        ticking.cancel()
        assert steps == list(range(20)) and ticks > 5
        run.finish()

    asyncio.run(main())


def test_a_coroutine_that_goes_away_loses_no_change(ws):
    async def main():
        run = ws.run(strict=True)
        changes = ws.follow(runs=[run.id], timeout=30)
        for step in range(5):
            with pytest.raises(TimeoutError):
                while True:
                    await asyncio.wait_for(anext(changes), 0.05)
            run.log({"loss": step}, step=step)
            seen = []
            while not seen:
                change = await anext(changes)
                seen = [list(points["steps"]) for points in change["points"]]
            assert seen == [[step]]

    asyncio.run(main())


def test_a_follow_ends_after_its_timeout(ws):
    async def main():
        began = time.monotonic()
        assert [change async for change in ws.follow(timeout=0.3)] == []
        return time.monotonic() - began

    assert 0.2 < asyncio.run(main()) < 10
    assert list(ws.follow(timeout=0)) == []


def test_many_coroutines_log_to_one_run(ws):
    async def main():
        async with ws.run(strict=True) as run:

            async def work(rank):
                for step in range(100):
                    run.log({f"loss/{rank}": step}, step=step)
                    await asyncio.sleep(0)

            await asyncio.gather(*(work(rank) for rank in range(5)))
        return run.id

    view = ws[asyncio.run(main())]
    assert view.status == "FINISHED" and all(len(view[f"loss/{rank}"]) == 100 for rank in range(5))


def test_a_task_that_fails_ends_its_run(ws):
    async def main():
        async with ws.run() as run:
            ids.append(run.id)
            raise ValueError

    ids = []
    with pytest.raises(ValueError):
        asyncio.run(main())
    assert ws[ids[0]].status == "FAILED"
