"""What each parameter did over a training, against the losses that the training itself records."""

import pytest

from micrograd_like import MLP, SGD, History, Step, Value, fit, mse_loss
from micrograd_like.explain import ExplainSteps, weight_pictures

DATA = [([0.1 * k, 1.0 - 0.3 * k], (-1.0) ** k) for k in range(10)]


def trained(watch, momentum=0.0, weight_decay=0.0, epochs=6):
    model = MLP(2, [3, 1], activation="tanh", rng=4)
    optimizer = SGD(model.parameters(), lr=0.2, momentum=momentum, weight_decay=weight_decay)
    history = fit(model, DATA, mse_loss, optimizer, epochs, callbacks=[watch] if watch else [], progress=False)
    return model, history


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.5, "weight_decay": 0.1}])
def test_the_shares_of_a_training_add_up_to_what_its_loss_fell_by(options):
    watch = ExplainSteps()
    model, history = trained(watch, **options)
    # The whole data set is the batch of every step, so each step's loss after is the next one's before.
    fell = float(mse_loss([model(x) for x, _ in DATA], [y for _, y in DATA])) - history.losses[0]
    assert watch.explained == 6
    assert watch.change == pytest.approx(fell)
    assert sum(total.share for total in watch.parameters) == pytest.approx(fell, abs=1e-6)
    assert [total.name for total in watch.parameters] == [name for name, _ in model.named_parameters()]
    assert all(total.helped + total.hurt <= 6 for total in watch.parameters)


def test_a_training_that_is_watched_is_the_same_training():
    watched, plain = trained(ExplainSteps(), momentum=0.9)[1], trained(None, momentum=0.9)[1]
    assert watched.losses == plain.losses


def test_memory_is_bounded_by_what_is_kept():
    watch = ExplainSteps(every=2, keep=2)
    trained(watch, epochs=9)
    assert watch.explained == 5
    assert len(watch.reports) == 2
    none = ExplainSteps(keep=0)
    trained(none)
    assert len(none.reports) == 0
    assert none.explained == 6


def test_the_table_and_the_picture_show_the_largest_sums():
    pytest.importorskip("matplotlib")
    watch = ExplainSteps()
    model, _ = trained(watch)
    lines = str(watch).splitlines()
    assert lines[0].startswith("6 explained steps changed their batches' losses by -")
    rule = next(i for i, line in enumerate(lines) if set(line) == {"─"})
    assert [line.split()[0] for line in lines[rule + 1 : rule + 11]] == [total.name for total in watch.by_share[:10]]
    assert lines[rule + 11].startswith("all")
    assert all(report.loss is None for report in watch.reports)  # a watch keeps no graphs
    assert "<svg" in watch.to_svg()
    assert watch.to_svg() == watch.to_svg()
    weight_pictures(watch, model.layers[0], shape=(1, 2))
    single = ExplainSteps()
    trained(single, epochs=1)
    assert single.title.startswith("1 explained step changed its batch's loss by -")


def test_a_watch_that_has_seen_nothing_says_so():
    assert ExplainSteps().title == "No step has been explained yet"


def test_parameters_outside_the_model_are_explained_too():
    scale = Value(2.0, label="scale")
    model = MLP(1, [1], rng=1)
    optimizer = SGD([*model.parameters(), scale, Value(1.0)], lr=0.1)
    loss = mse_loss(model([1.0]) * scale, 1.0)
    loss.backward()
    step = Step(0, 1, loss, [([1.0], 1.0)], model, optimizer, History())
    watch = ExplainSteps()
    watch(step)
    assert [total.name for total in watch.parameters][2:] == ["scale", "parameter 3"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "expected every as a whole number of at least 1"),
        ({"keep": -1}, "expected keep as a whole number of at least 0"),
        ({"tolerance": 0.0}, "expected tolerance as a finite number above 0"),
        ({"budget": 0}, "expected budget as a whole number of at least 1"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ExplainSteps(**options)
