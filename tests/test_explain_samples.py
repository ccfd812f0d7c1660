"""A gradient split over the samples."""

import pytest
from explain_cases import exact_cases, snapshot
from hypothesis import given

from micrograd_like import Value, sum
from micrograd_like.explain import sample_shares


@given(exact_cases())
def test_the_samples_gradients_add_up_to_the_gradient_of_the_sum(case):
    losses = case.losses()
    before = snapshot(*losses)
    answers = {p: sample_shares(losses, p) for p in case.model.parameters()}
    assert snapshot(*losses) == before
    for i, loss in enumerate(losses):
        case.model.zero_grad()
        loss.backward()
        assert [answer.samples[i].gradient for answer in answers.values()] == [p.grad for p in answers]
        assert {answer.samples[i].loss for answer in answers.values()} == {loss.data}
    case.model.zero_grad()
    sum(losses).backward()
    assert [answer.gradient for answer in answers.values()] == [p.grad for p in answers]
    assert [answer.mean * len(losses) for answer in answers.values()] == [p.grad for p in answers]


def test_the_sentence_counts_who_pulls_which_way():
    w = Value(1.0, label="w")
    losses = [(w - target) ** 2.0 for target in (0.0, 3.0, 4.0, 1.0)]
    answer = sample_shares(losses, w, names=["zero", "three", "four", "one"])
    assert answer.title == "2 of 4 samples pull w up and 1 pull it down; the mean gradient is -2"
    assert [sample.name for sample in answer.by_size] == ["four", "three", "zero", "one"]
    rows = [line.split() for line in str(answer).splitlines()[4:]]
    assert rows == [
        ["four", "9", "-6", "up"],
        ["three", "4", "-4", "up"],
        ["zero", "1", "+2", "down"],
        ["one", "0", "0", "–"],
        ["sum", "14", "-8"],
    ]


def test_a_sample_that_does_not_see_the_parameter_pulls_nowhere():
    w, v = Value(1.0, label="w"), Value(1.0)
    assert [s.gradient for s in sample_shares([w * 2.0, v * 2.0], "w").samples] == [2.0, 0]
    assert sample_shares([v * 2.0], w).title == "No sample pulls w: its gradient is 0 in each of 1"


@pytest.mark.parametrize(
    ("losses", "options", "error", "message"),
    [
        ([], {}, ValueError, "at least one sample's loss"),
        ([1.0], {}, TypeError, "expected the loss as a Value"),
        ([Value(1.0) * 2.0], {"names": ["a", "b"]}, ValueError, "as many names as losses, got 2 and 1"),
    ],
)
def test_bad_input_is_named(losses, options, error, message):
    with pytest.raises(error, match=message):
        sample_shares(losses, Value(1.0), **options)


def test_what_is_no_list_is_named():
    w = Value(1.0, label="w")
    with pytest.raises(TypeError, match="expected losses as one Value for each sample, got NoneType"):
        sample_shares(None, w)
    with pytest.raises(TypeError, match="expected names as one text for each sample, got bool"):
        sample_shares([w * w], w, names=False)
