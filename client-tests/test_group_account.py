"""What the soak of groups goes by can tell a loss from a re-read."""

from harness.group_account import GroupAccount


def account(*lines: str) -> GroupAccount:
    result = GroupAccount("g", 2)
    for line in lines:
        result.line(line)
    result.settle(1 << 62)
    return result


def test_records_again_after_the_last_commit_are_counted():
    result = account("1000000 a 0 1", "1000002 d 0 0 9", "1000003 c 0 5", "1000004 d 0 5 12", "1000005 d 1 0 0")
    assert (result.delivered, result.reread, result.commits, result.rebalances, result.violations) == (14, 5, 1, 1, [])


def test_records_again_before_a_commit_are_a_violation_in_whatever_order_the_lines_come():
    result = account("4 d 0 4 6", "3 c 0 5", "2 d 0 0 9")
    assert len(result.violations) == 1 and "from 4 on after a commit of 5" in result.violations[0]


def test_acknowledged_records_that_nobody_got_are_named():
    result = account("1 d 0 0 3", "2 d 0 6 7")
    assert result.missing([[0, 3, 4, 7, 8], [0]]) == [(0, 4), (0, 8), (1, 0)]


def test_a_stall_does_not_count_while_the_broker_is_down():
    result = GroupAccount("g", 1)
    result.pauses.append((2_000_000, 5_000_000))
    for line in ("1000000 d 0 0 0", "6000000 d 0 1 1", "7500000 d 0 2 2"):
        result.line(line)
    result.settle(1 << 62)
    assert result.longest_stall_s == 2.0
