"""Runs are worked on by any executor, kept as they come, and taken up where they ended."""

import subprocess
import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster

from spotvortex.batch.executors import dask_executor, local_executor, require_same_code
from spotvortex.batch.results_file import open_results, read_results
from spotvortex.batch.runner import RunTally, run_specs
from spotvortex.code_digest import simulator_version
from spotvortex.errors import ResultsError, SettingsError
from spotvortex.results.accounting import RunResult
from tests.batch.jobs import jobs, work
from tests.paths import ROOT

UNDER = "protocol ab12, code 0.1.0"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "results.jsonl"


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


def run_all(path, specs, executor, tell=pytest.fail):
    seen = []
    with open_results(path, UNDER, tell) as results:
        tally = run_specs(specs, work, executor, results, seen.append)
    return tally, seen


def results_in(path):
    return read_results(path, RunResult)


def expected(n):
    return UNDER, tuple(work(job) for job in jobs(n))


def test_results_come_back_exactly_and_in_order_of_their_keys(path, threads):
    tally, seen = run_all(path, jobs(20), threads)
    assert tally == RunTally(n_done=20, n_skipped=0, failures=())
    assert [(p.n_ended, p.n_total) for p in seen] == [(i, 20) for i in range(1, 21)]
    assert {p.key for p in seen} == {job.key for job in jobs(20)}
    assert results_in(path) == expected(20)


@pytest.mark.program
def test_processes_of_this_machine_give_the_same(path):
    with local_executor(1) as executor:
        tally, _ = run_all(path, jobs(3, j1="raises"), executor)
    assert [f.key for f in tally.failures] == ["job-001"]
    assert results_in(path)[1] == tuple(work(job) for job in jobs(3) if job.seed != 1)


def test_a_dask_cluster_gives_the_same(path):
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        dask_executor(cluster.scheduler_address) as executor,
    ):
        tally, _ = run_all(path, jobs(5, j3="raises"), executor)
    (failure,) = tally.failures
    assert (failure.key, failure.reason) == ("job-003", "ValueError: seed 3 cannot be")
    assert results_in(path)[1] == tuple(work(job) for job in jobs(5) if job.seed != 3)


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(SettingsError, match=r"pip install 'spotvortex\[dask\]'"),
        dask_executor("tcp://127.0.0.1:1"),
    ):
        pytest.fail("there is no cluster")


@pytest.mark.parametrize("address", ["nope", "nonsense://x", "nonsense://x:1", "tcp://x"])
def test_what_is_no_address_with_a_port_is_refused_before_a_client_waits_for_it(address):
    with (
        pytest.raises(SettingsError, match=f"--dask {address}: is no address with a port"),
        dask_executor(address),
    ):
        pytest.fail("there is no cluster")


def test_an_address_without_a_scheduler_is_told_with_what_to_start():
    address = "tcp://127.0.0.1:1"
    with (
        pytest.raises(SettingsError, match=f"--dask {address}: .* start one with `dask scheduler`"),
        dask_executor(address, 0.2),
    ):
        pytest.fail("there is no cluster")


def test_a_worker_with_other_code_or_none_is_refused():
    require_same_code("a", {"w1": simulator_version()})
    for other in ("0.0.1+abc", ModuleNotFoundError("No module named 'spotvortex'")):
        with pytest.raises(SettingsError, match=r"worker w2 has .*; install the same version"):
            require_same_code("a", {"w1": simulator_version(), "w2": other})


def test_what_is_there_is_not_worked_on_again(path, threads):
    run_all(path, jobs(4), threads)
    tally, seen = run_all(path, jobs(6, j0="raises"), threads)
    assert tally == RunTally(n_done=2, n_skipped=4, failures=())
    assert {p.key for p in seen} == {"job-004", "job-005"}
    assert results_in(path) == expected(6)


def test_a_failing_spec_is_reported_and_loses_no_other(path, threads):
    tally, seen = run_all(path, jobs(10, j3="raises", j7="odd"), threads)
    assert tally.n_done == 8
    assert [(f.key, f.reason) for f in tally.failures] == [
        ("job-003", "ValueError: seed 3 cannot be"),
        ("job-007", "CodecError: function has no form in a record"),
    ]
    assert "tests/batch/jobs.py" in tally.failures[0].account
    assert {p.key for p in seen if p.failure} == {"job-003", "job-007"}
    assert len(results_in(path)[1]) == 8
    again, _ = run_all(path, jobs(10), threads)
    assert again == RunTally(n_done=2, n_skipped=8, failures=())


@pytest.mark.program
def test_a_worker_that_dies_costs_what_it_had_in_hand_and_nothing_that_is_written(path):
    with local_executor(1) as executor:
        run_all(path, jobs(1), executor)
        tally, _ = run_all(path, jobs(3, j1="dies"), executor)
    assert "job-001" in {f.key for f in tally.failures}
    assert all("BrokenProcessPool" in f.reason for f in tally.failures)
    with local_executor(1) as executor:
        run_all(path, jobs(3), executor)
    assert results_in(path) == expected(3)


class Broken(Executor):
    """Takes one spec, and has broken when the next one comes."""

    def __init__(self):
        self.n_taken = 0

    def submit(self, fn, /, *args):
        self.n_taken += 1
        if self.n_taken > 1:
            raise BrokenProcessPool("a process ended")
        future = Future()
        future.set_result(fn(*args))
        return future


@pytest.mark.program
def test_workers_end_with_a_parent_that_is_killed():
    source = (
        "import os, time\n"
        "from spotvortex.batch.executors import local_executor\n"
        "with local_executor(1) as executor:\n"
        "    print(executor.submit(os.getpid).result(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", source]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        psutil.wait_procs([worker], timeout=20)
    assert not worker.is_running()


def test_an_executor_that_breaks_while_it_is_filled_keeps_what_was_done(path):
    tally, _ = run_all(path, jobs(3), Broken())
    assert [f.key for f in tally.failures] == ["job-001", "job-002"]
    assert results_in(path) == expected(1)


class Cancelling(Executor):
    """Cancels whatever comes, as a scheduler that is shut down does."""

    def submit(self, _fn, /, *_args):
        future = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def test_what_the_executor_cancels_has_failed(path):
    tally, _ = run_all(path, jobs(2), Cancelling())
    assert [f.reason for f in tally.failures] == ["cancelled", "cancelled"]


def test_two_specs_of_one_key_are_refused(path, threads):
    with pytest.raises(ValueError, match="two specs have one key"):
        run_all(path, jobs(2) + jobs(1), threads)


def test_an_error_of_ours_cancels_what_has_not_begun(path):
    def stop(_):
        raise KeyboardInterrupt

    with (
        ThreadPoolExecutor(1) as executor,
        open_results(path, UNDER, pytest.fail) as results,
        pytest.raises(KeyboardInterrupt),
    ):
        run_specs(jobs(50), work, executor, results, stop)
    assert len(results_in(path)[1]) == 1


@pytest.mark.parametrize("cut", [1, 40, 100_000])
def test_a_last_line_that_was_cut_off_is_dropped_and_run_again(path, threads, cut):
    run_all(path, jobs(3), threads)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key":"job-009","resu' + b"x" * cut)
    told = []
    tally, _ = run_all(path, jobs(3), threads, told.append)
    assert tally.n_skipped == 3
    assert path.read_bytes() == whole
    assert told == [f"{path}: its last line was cut off; {22 + cut} bytes are dropped"]


def test_a_file_that_was_cut_off_in_its_first_line_begins_anew(path, threads):
    path.parent.mkdir()
    path.write_bytes(b'{"made_un')
    told = []
    run_all(path, jobs(1), threads, told.append)
    assert len(told) == 1
    assert results_in(path) == expected(1)


def test_results_of_another_protocol_or_version_are_not_mixed_in(path, threads):
    run_all(path, jobs(1), threads)
    with (
        pytest.raises(ResultsError, match=r"was made under protocol ab12, code 0.1.0, this is 2"),
        open_results(path, "2", pytest.fail),
    ):
        pytest.fail("it is not opened")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}\n", "is no file of results"),
        ("", "is no file of results"),
        ('{"made_under":"x"}\n\n', ":2: not JSON; remove the line"),
        ('{"made_under":"x"}\n{"key":1,"result":{}}\n', ":2: no key and result"),
        ('{"made_under":"x"}\n{"key":"a","result":{}}\n', "the result a: RunResult: exactly"),
    ],
)
def test_a_file_that_is_not_ours_is_told_with_the_line(tmp_path, text, words):
    path = tmp_path / "r.jsonl"
    path.write_text(text)
    with pytest.raises(ResultsError, match=words):
        results_in(path)


def test_a_file_that_cannot_be_opened_or_read_is_told(tmp_path):
    with (
        pytest.raises(ResultsError, match="cannot be opened: Is a directory"),
        open_results(tmp_path, UNDER, pytest.fail),
    ):
        pytest.fail("it is not opened")
    with pytest.raises(ResultsError, match="cannot be read: Is a directory"):
        results_in(tmp_path)


def test_a_full_disk_is_told_with_the_file():
    with (
        pytest.raises(ResultsError, match="cannot be written: No space left"),
        open_results(Path("/dev/full"), UNDER, pytest.fail),
    ):
        pytest.fail("it is not opened")
