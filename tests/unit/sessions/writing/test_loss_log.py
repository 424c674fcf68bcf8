from kucoin_research.model.damage import Loss
from kucoin_research.sessions.writing.loss_log import LossLog, RefusalLog

SECOND = 10**9


def test_rows_that_are_dropped_in_a_row_are_one_loss():
    log = LossLog()

    log.drop(Loss(1, 2, 3))
    log.drop(Loss(3, 4, 5))
    log.end_drop()
    log.drop(Loss(9, 9, 1))

    assert log.losses == [Loss(1, 4, 8), Loss(9, 9, 1)]
    assert (log.rows, log.take_unreported(), log.take_unreported()) == (9, 9, 0)


def test_refusals_of_one_file_within_ten_seconds_are_one_loss():
    log = RefusalLog()

    log.add(Loss(0, SECOND, 1, "a.csv"))
    log.add(Loss(0, SECOND, 1, "b.csv"))
    log.add(Loss(11 * SECOND, 11 * SECOND, 2, "a.csv"))
    log.add(Loss(22 * SECOND, 22 * SECOND, 4, "a.csv"))

    assert [(loss.file, loss.rows) for loss in log.losses] == [
        ("a.csv", 3),
        ("b.csv", 1),
        ("a.csv", 4),
    ]
    assert log.rows == 8


def test_rows_that_are_dropped_after_another_loss_are_not_counted_into_it():
    log = LossLog()

    log.drop(Loss(1, 2, 3))
    log.add(Loss(3, 3, 7, "a.csv"))
    log.drop(Loss(4, 5, 2))

    assert log.losses == [Loss(1, 2, 3), Loss(3, 3, 7, "a.csv"), Loss(4, 5, 2)]
